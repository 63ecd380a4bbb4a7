//! The parts of `benches/peers` that are not measurements: what load generators say, figures, tables, the accounts of
//! the kernel. A bench without a harness has no tests of its own.

#![allow(dead_code, reason = "the bench uses what is not tested here")]

#[path = "../../../benches/support/answer.rs"]
mod answer;
#[path = "../../../benches/peers/cpu.rs"]
mod cpu;
#[path = "../../../benches/support/figures.rs"]
mod figures;
#[path = "../../../benches/peers/h2load.rs"]
mod h2load;
#[path = "../../../benches/support/table.rs"]
mod table;
#[path = "../../../benches/peers/wrk.rs"]
mod wrk;

use std::process::Command;

use answer::Answer;
use cpu::{Meter, Stat, Usage};
use figures::{median, percent, quantile, range, short, spread};
use table::Table;
use wrk::Answered;

#[test]
fn the_median_is_the_middle() {
    assert!((median(&[9.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
    assert!((median(&[9.0, 1.0, 2.0, 4.0]) - 3.0).abs() < 1e-9);
    assert!(median(&[]).is_nan());
}

#[test]
fn the_spread_is_a_part_of_the_median() {
    assert!((spread(&[8.0, 10.0, 11.0]) - 0.3).abs() < 1e-9);
    assert!(spread(&[8.0]).is_nan() && spread(&[]).is_nan());
    assert_eq!([range(&[8.0, 10.0, 11.0]), range(&[8.0]), range(&[])], ["10.0 (8.00 to 11.0)", "8.00", "-"]);
}

#[test]
fn a_quantile_is_one_of_the_values() {
    let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
    for (part, wanted) in [(0.0, 1.0), (0.5, 100.0), (0.99, 198.0), (1.0, 200.0)] {
        assert!((quantile(&values, part) - wanted).abs() < 1e-9, "{part}");
    }
    assert!(quantile(&[], 0.5).is_nan());
}

#[test]
fn figures_have_three_digits() {
    for (value, wanted) in [
        (0.0, "0"),
        (0.012_34, "0.0123"),
        (0.999_6, "1.00"),
        (-4.556, "-4.56"),
        (9.996, "10.0"),
        (78.94, "78.9"),
        (1234.4, "1234"),
        (f64::NAN, "-"),
    ] {
        assert_eq!(short(value), wanted, "{value}");
    }
    assert_eq!((percent(0.071), percent(f64::NAN)), ("7 %".to_owned(), "-".to_owned()));
}

#[test]
fn columns_are_as_wide_as_their_widest_cell() {
    let mut table = Table::new(["proxy", "µs"]);
    table.row(["nginx".to_owned(), "12.3".to_owned()]);
    table.row(["a|b".to_owned()]);
    assert_eq!(table.to_string(), "| proxy | µs   |\n| ----- | ---- |\n| nginx | 12.3 |\n| a\\|b  |      |\n");
}

#[test]
fn an_answer_is_whole_or_not_yet() {
    let text = "HTTP/1.1 200 OK\r\nX-Version: v2\r\ncontent-length: 3\r\nx-saw-forwarded-for: ::1\r\n\r\nabcHTTP";
    for end in 0..text.len() - 4 {
        assert_eq!(answer::first(&text.as_bytes()[..end]), Ok(None), "{end}");
    }
    let answer = answer::first(text.as_bytes()).unwrap().unwrap();
    let forwarded_for = Some("::1".to_owned());
    assert_eq!(answer, Answer { status: 200, version: "v2".to_owned(), forwarded_for, bytes: text.len() - 4 });
}

#[test]
fn somebody_elses_answer_is_told() {
    let refused = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
    assert!(answer::first(refused.as_bytes()).unwrap_err().contains("503"));
    assert!(answer::first(b"HTTP/1.1 200 OK\r\nx-version: v1\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
}

#[test]
fn a_name_may_have_spaces_and_parentheses() {
    let text = "42 (a (b) 7 c) S 7 42 42 0 -1 4194304 100 0 0 0 31 12 5 6 20 0 1 0 100 0 0";
    assert_eq!(Stat::parse(text), Some(Stat { parent: 7, ticks: [31.0, 12.0] }));
    assert_eq!(Stat::parse("42 (a"), None);
}

#[test]
fn a_parent_sees_what_its_children_use() {
    // The inner one works, the outer one waits for it; the colon keeps it from becoming the inner one.
    let words = ["-c", "sh -c 'i=0; while [ $i -lt 1000000 ]; do i=$((i+1)); done'; :"];
    let mut parent = Command::new("sh").args(words).spawn().unwrap();
    let mut meter = Meter::new(parent.id());
    let before = meter.read();
    let mut used = Usage::default();
    while used.total < 50_000.0 {
        assert!(parent.try_wait().unwrap().is_none(), "it has ended, and was seen to use {used:?} only");
        used = before.until(meter.read());
    }
    parent.wait().unwrap();
    let after = before.until(meter.read());
    assert!(after.total >= used.total, "what has ended is not forgotten: {after:?}, {used:?}");
}

const WRK_SAID: &str = "Running 1s test @ http://127.0.0.1:19080/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   256.35us  136.19us   4.02ms   82.75%
    Req/Sec   149.00k     5.49k  155.31k    60.00%
  Latency Distribution
     50%  208.00us
     75%  240.00us
     90%  429.00us
     99%    1.50ms
  147952 requests in 1.00s, 21.87MB read
Requests/sec: 147563.02
Transfer/sec:     21.81MB
";

#[test]
fn figures_of_wrk_are_found() {
    let said = WRK_SAID.replace("208.00us", "0.50s");
    let wanted = Answered { requests: 147_952, rate: 147_563.02, p50: 500.0, p99: 1.5 };
    assert_eq!(wrk::read(&said).unwrap(), wanted);
}

#[test]
fn failures_of_wrk_are_told() {
    for failed in ["Socket errors: connect 0, read 3, write 0, timeout 0", "Non-2xx or 3xx responses: 7"] {
        assert_eq!(wrk::read(&format!("{WRK_SAID}  {failed}\n")).unwrap_err(), failed);
    }
    assert!(wrk::read(&WRK_SAID.replace("147952 requests", "0 requests")).unwrap_err().contains("no request"));
    assert!(wrk::read("unable to connect to 127.0.0.1:1 Connection refused").unwrap_err().contains("refused"));
}

#[test]
fn times_have_units() {
    for (text, wanted) in [("256.35us", 0.256_35), ("4.02ms", 4.02), ("1.10s", 1_100.0), ("2.00m", 120_000.0)] {
        assert!((wrk::milliseconds(text).unwrap() - wanted).abs() < 1e-9, "{text}");
    }
    assert_eq!((wrk::milliseconds("7"), wrk::milliseconds("7 parsecs")), (None, None));
}

const H2LOAD_SAID: &str = "finished in 1.00s, 144853.00 req/s, 10.22MB/s
requests: 4 total, 6 started, 4 done, 4 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 5 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 10.22MB (10719514) total, 6.63MB (6952944) headers (space savings 51.02%), 1.11MB (1158824) data
";
const H2LOAD_LOG: &str = "1795299862887909\t200\t2590\n1795299862887911\t200\t3070\n1\t200\t100\n1\t200\t200\n";

#[test]
fn figures_of_h2load_are_found() {
    let wanted = Answered { requests: 4, rate: 144_853.0, p50: 0.2, p99: 3.07 };
    assert_eq!(h2load::read(H2LOAD_SAID, H2LOAD_LOG).unwrap(), wanted);
}

#[test]
fn failures_of_h2load_are_told() {
    let refused = H2LOAD_SAID.replace("5 2xx, 0 3xx, 0 4xx, 0 5xx", "3 2xx, 0 3xx, 0 4xx, 1 5xx");
    assert!(h2load::read(&refused, H2LOAD_LOG).unwrap_err().contains("1 5xx"));
    let failed = H2LOAD_SAID.replace("0 errored", "2 errored");
    assert!(h2load::read(&failed, H2LOAD_LOG).unwrap_err().contains("2 errored"));
    assert!(h2load::read("connect failed", "").unwrap_err().contains("connect failed"));
}
