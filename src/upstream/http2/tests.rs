//! Streams on connections whose endpoint the test has in its hands, in its hands.

use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{self, SendResponse};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncWriteExt, DuplexStream, ReadBuf, duplex, repeat};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::{LocalSet, yield_now};
use tokio::time::{Duration, sleep, timeout};

use super::upstream_stream::{StreamContent, StreamError, StreamRequest, StreamResponse, UpstreamStream};
use super::*;

const HEADS: HeadLimits = HeadLimits { bytes_max: 64 * 1024, headers_max: 100 };

/// A moment, where the test is about time.
const MOMENT: Duration = Duration::from_millis(20);

/// What is not there after this hangs.
const LONG: Duration = Duration::from_secs(60);

type Streams = UnboundedReceiver<(Request<RecvStream>, SendResponse<Bytes>)>;

/// The other end of a connection.
struct Endpoint {
    asked: Streams,
    /// Sent, it stops to read and to write and keeps the connection; dropped, it closes it.
    stall: oneshot::Sender<()>,
}

/// A connection to an endpoint that allows this number of streams.
async fn connected(streams: u32) -> (SharedConnection, Endpoint) {
    connected_with(streams, PINGS).await
}

async fn connected_with(streams: u32, times: PingTimes) -> (SharedConnection, Endpoint) {
    let (ours, theirs) = duplex(1024 * 1024);
    let address = SocketAddr::from(([127, 0, 0, 1], 80));
    let mut builder = server::Builder::new();
    builder.max_concurrent_streams(streams);
    let (shared, served) = tokio::join!(share(ours, address, HEADS, times), builder.handshake(theirs));
    let (stall, stalled) = oneshot::channel();
    let (asks, asked) = unbounded_channel();
    let mut served: server::Connection<DuplexStream, Bytes> = served.unwrap();
    spawn_local(async move {
        let serving = async {
            while let Some(Ok(stream)) = served.accept().await {
                asks.send(stream).unwrap();
            }
        };
        tokio::select! {
            () = serving => {}
            stalled = stalled => if stalled.is_ok() {
                pending::<()>().await;
            }
        }
    });
    (shared.unwrap(), Endpoint { asked, stall })
}

fn head(method: &str) -> Request<()> {
    Request::builder().method(method).uri("http://a/").version(http::Version::HTTP_2).body(()).unwrap()
}

fn post(stream: &mut UpstreamStream) -> StreamRequest<'_, Full<Bytes>> {
    stream.begin(head("POST"), Full::from("body"))
}

async fn answer(request: &mut StreamRequest<'_, Full<Bytes>>) -> Result<Response<RecvStream>, StreamError> {
    match poll_fn(|cx| request.poll_response(cx)).await? {
        StreamResponse::Final(head) => Ok(head),
        StreamResponse::Interim(head) => panic!("{head:?}"),
    }
}

/// Lets both ends take their turns until neither has anything left to do: they are on this thread, and what is between
/// them waits for nothing else.
async fn settle() {
    for _ in 0..500 {
        yield_now().await;
    }
}

/// What is under way goes on.
async fn is_waiting(request: &mut StreamRequest<'_, Full<Bytes>>) -> bool {
    tokio::select! {
        biased;
        _answered = answer(request) => false,
        () = settle() => true,
    }
}

/// Fails on a stream that was given up.
fn reply(mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    respond.send_response(Response::new(()), false)?.send_data(Bytes::from_static(b"ok"), true)
}

#[tokio::test]
async fn an_endpoint_that_is_there_has_all_the_time_and_one_that_is_not_is_given_up() {
    let test = async {
        let times = PingTimes { interval: Duration::from_millis(200), timeout: Duration::from_secs(5) };
        let (mut shared, mut endpoint) = connected_with(10, times).await;
        let (mut first, mut second) = (shared.stream().unwrap(), shared.stream().unwrap());
        let (mut first, mut second) = (post(&mut first), post(&mut second));
        assert!(is_waiting(&mut first).await && is_waiting(&mut second).await);
        sleep(times.interval * 2 + times.timeout).await;
        reply(endpoint.asked.recv().await.unwrap().1).unwrap();
        assert!(answer(&mut first).await.is_ok(), "it has answered the pings");
        endpoint.stall.send(()).unwrap();
        let stalled = Instant::now();
        assert!(matches!(answer(&mut second).await, Err(StreamError::Broken(_))));
        let took = stalled.elapsed();
        assert!(took >= times.timeout - MOMENT, "{took:?}");
        assert!(shared.is_closed() && shared.stream().is_none());
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn an_idle_connection_is_not_asked_and_one_that_was_silent_for_long_is_asked_at_once() {
    let test = async {
        let times = PingTimes { interval: Duration::from_secs(4), timeout: Duration::from_millis(300) };
        let (mut shared, endpoint) = connected_with(10, times).await;
        settle().await;
        endpoint.stall.send(()).unwrap();
        sleep(times.interval + times.timeout * 2).await;
        assert!(!shared.is_closed());
        let mut stream = shared.stream().unwrap();
        let began = Instant::now();
        assert!(matches!(answer(&mut post(&mut stream)).await, Err(StreamError::Broken(_))));
        assert!(began.elapsed() < times.interval, "{:?}", began.elapsed());
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_request_whose_connection_ends_before_it_was_given_to_the_codec_is_whole() {
    let test = async {
        let (mut shared, mut endpoint) = connected(1).await;
        // It has not said yet how many it allows.
        let [mut first, mut second, mut third, mut late] = [(); 4].map(|()| shared.stream().unwrap());
        settle().await;
        assert!(shared.stream().is_none(), "now it has");
        let (mut first, mut second, mut third) = (post(&mut first), post(&mut second), post(&mut third));
        assert!(is_waiting(&mut first).await && is_waiting(&mut second).await && is_waiting(&mut third).await);
        // Kept, or the codec would reset it before the connection ends.
        let _asked = endpoint.asked.recv().await.unwrap();
        assert!(endpoint.asked.try_recv().is_err());
        drop(endpoint);
        let (first, second_error, third_error) =
            tokio::join!(answer(&mut first), answer(&mut second), answer(&mut third));
        assert!(matches!(first, Err(StreamError::Broken(_))));
        assert!(matches!(second_error, Err(StreamError::Broken(_))), "the codec had it");
        assert!(matches!(third_error, Err(StreamError::Unsent(_))));
        let mut late = post(&mut late);
        assert!(matches!(answer(&mut late).await, Err(StreamError::Unsent(_))), "it was gone when this one began");
        for whole in [third, late] {
            let body = whole.into_body().expect("it was not touched").collect().await.unwrap().to_bytes();
            assert_eq!(body, "body");
        }
        assert!(second.into_body().is_none());
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn streams_that_are_not_allowed_yet_are_opened_one_after_the_other_also_behind_one_that_is_given_up() {
    let test = async {
        let (mut shared, mut endpoint) = connected(1).await;
        let [mut first, mut second, mut third, mut fourth] = [(); 4].map(|()| shared.stream().unwrap());
        settle().await;
        let (mut first, mut third, mut fourth) = (post(&mut first), post(&mut third), post(&mut fourth));
        assert!(is_waiting(&mut first).await);
        {
            let mut second = post(&mut second);
            assert!(is_waiting(&mut second).await && is_waiting(&mut third).await && is_waiting(&mut fourth).await);
        }
        drop(second);
        let answering = async {
            let mut replied = 0;
            while replied < 3 {
                // The codec opens the one that was given up, and resets it.
                let (_request, respond) = endpoint.asked.recv().await.unwrap();
                replied += usize::from(reply(respond).is_ok());
            }
        };
        let ((), first, third, fourth) =
            tokio::join!(answering, answer(&mut first), answer(&mut third), answer(&mut fourth));
        assert!(first.is_ok() && third.is_ok() && fourth.is_ok());
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_connection_that_is_given_up_ends_although_its_endpoint_reads_nothing() {
    let test = async {
        let times = PingTimes { interval: Duration::from_secs(10), timeout: Duration::from_millis(300) };
        let (ours, mut theirs) = duplex(64 * 1024);
        let mut shared = share(ours, SocketAddr::from(([127, 0, 0, 1], 80)), HEADS, times).await.unwrap();
        // Settings with a window of a mebibyte, and as much for the connection.
        theirs.write_all(&[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 16, 0, 0]).await.unwrap();
        theirs.write_all(&[0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 16, 0, 0]).await.unwrap();
        settle().await;
        let mut stream = shared.stream().unwrap();
        let mut request = stream.begin(head("POST"), Full::from(vec![b'x'; 1024 * 1024]));
        assert!(is_waiting(&mut request).await);
        drop(request);
        drop(stream);
        let began = Instant::now();
        drop(shared);
        // It goes on to send frames of a kind that says nothing.
        let ended = timeout(LONG, async {
            while theirs.write_all(&[0, 0, 0, 99, 0, 0, 0, 0, 0]).await.is_ok() {
                sleep(MOMENT).await;
            }
        });
        ended.await.expect("it is closed");
        assert!(began.elapsed() >= times.timeout - MOMENT, "{:?}", began.elapsed());
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn an_upload_whose_trailers_cannot_be_sent_is_reset() {
    let test = async {
        let (mut shared, mut endpoint) = connected(10).await;
        let mut stream = shared.stream().unwrap();
        let trailers = http::HeaderMap::from_iter([(http::header::CONNECTION, "x".parse().unwrap())]);
        let body = Full::from("body").with_trailers(async { Some(Ok(trailers)) });
        let mut sending = stream.begin(head("POST"), Box::pin(body));
        let seen = async {
            let (request, _respond) = endpoint.asked.recv().await.unwrap();
            let mut incoming = request.into_body();
            loop {
                match incoming.data().await {
                    Some(Ok(_part)) => {}
                    end => return end.map(|end| end.unwrap_err().reason()),
                }
            }
        };
        let answered = poll_fn(|cx| sending.poll_response(cx));
        let ended = timeout(LONG, async { tokio::join!(answered, seen) });
        let (answer, seen) = ended.await.expect("it is reset");
        assert!(matches!(answer, Err(StreamError::Reset(_))), "{answer:?}");
        assert_eq!(seen, Some(Some(h2::Reason::CANCEL)));
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn a_turn_takes_no_more_than_its_share_of_what_an_endpoint_sends() {
    let load = Rc::new(StreamLoad::new(Instant::now()));
    let mut endless = NotedStream::new(repeat(b'x'), Rc::clone(&load));
    let taken = poll_fn(|cx| {
        let (mut room, mut taken) = ([0; 8 * 1024], 0);
        loop {
            let mut room = ReadBuf::new(&mut room);
            match Pin::new(&mut endless).poll_read(cx, &mut room) {
                Poll::Ready(read) => read.unwrap(),
                Poll::Pending => return Poll::Ready(taken),
            }
            taken += room.filled().len();
        }
    });
    let taken = taken.await;
    assert!((1..=136 * 1024).contains(&taken) && load.heard.get(), "{taken} bytes");
}

#[tokio::test]
async fn a_response_that_is_given_up_gives_its_upload_up_as_well() {
    let test = async {
        let (mut shared, mut endpoint) = connected(10).await;
        let mut stream = shared.stream().unwrap();
        let large = Full::from(Bytes::from(vec![b'x'; 1024 * 1024]));
        let mut sending = stream.begin(head("POST"), large);
        let answered = async {
            let (request, mut respond) = endpoint.asked.recv().await.unwrap();
            let outgoing = respond.send_response(Response::new(()), false).unwrap();
            (request, outgoing)
        };
        let (head, (mut request, mut outgoing)) = tokio::join!(answer(&mut sending), answered);
        let response = sending.into_response(head.unwrap()).unwrap().into_body();
        let StreamContent::Body(response) = response else { panic!("no tunnel was asked for") };
        let mut came = 0;
        for _ in 0..20 {
            let data = request.body_mut().data().await.unwrap().unwrap();
            request.body_mut().flow_control().release_capacity(data.len()).unwrap();
            came += data.len();
        }
        assert!(came > 64 * 1024, "it goes on beside the response: {came}");
        drop(response);
        let reset = poll_fn(|cx| outgoing.poll_reset(cx)).await.unwrap();
        assert_eq!(reset, h2::Reason::CANCEL);
        // The connection is whole.
        let mut other = shared.stream().unwrap();
        let mut other = post(&mut other);
        let answering = async { reply(endpoint.asked.recv().await.unwrap().1) };
        assert!(tokio::join!(answer(&mut other), answering).0.is_ok());
    };
    LocalSet::new().run_until(test).await;
}
