//! `substr`: a part of a text.

use std::borrow::Cow;

use super::datum::Datum;

/// The part of the first argument that begins at the second; a negative one counts from the end. The third is how long
/// the part is, or, if it is negative, how much is left out at the end. Counted in characters.
pub(crate) fn substr<'a>(arguments: &[Datum<'a>]) -> Datum<'a> {
    let [text, start, length @ ..] = arguments else { return Datum::Null };
    let text = text.text();
    let count = text.chars().count();
    let start = start.number();
    let start = if start < 0.0 { count.saturating_sub(whole(-start)) } else { whole(start).min(count) };
    let end = match length.first() {
        None | Some(Datum::Null) => count,
        Some(length) => {
            let length = length.number();
            let end =
                if length < 0.0 { count.saturating_sub(whole(-length)) } else { start.saturating_add(whole(length)) };
            end.clamp(start, count)
        }
    };
    let part = text.chars().skip(start).take(end - start).collect();
    Datum::Text(Cow::Owned(part))
}

/// A number without its fraction; zero if it is none.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates, and is not negative")]
fn whole(number: f64) -> usize {
    number as usize
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn parts_of_texts() {
        for (arguments, wanted) in [
            (vec![json!("jsonlogic"), json!(4)], "logic"),
            (vec![json!("jsonlogic"), json!(-5)], "logic"),
            (vec![json!("jsonlogic"), json!(1), json!(3)], "son"),
            (vec![json!("jsonlogic"), json!(4), json!(-2)], "log"),
            (vec![json!("jsonlogic"), json!(-20), json!(2)], "js"),
            (vec![json!("jsonlogic"), json!(20)], ""),
            (vec![json!("jsonlogic"), json!(5), json!(-8)], ""),
            (vec![json!("jsonlogic"), json!(0), json!("x")], ""),
            (vec![json!("jsonlogic"), json!(0), json!(1e300)], "jsonlogic"),
            (vec![json!("b\u{e4}r"), json!(1), json!(1)], "\u{e4}"),
            (vec![json!(12345), json!(1), json!(2)], "23"),
        ] {
            let data: Vec<_> = arguments.iter().map(Datum::from).collect();
            assert_eq!(substr(&data).text(), wanted, "{}", Value::from(arguments.clone()));
        }
    }
}
