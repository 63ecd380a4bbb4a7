//! Operators on numbers, and the order of values.
//!
//! As long as integers stay integers they are exact; otherwise numbers are JavaScript's.

use super::datum::Datum;
use super::logic::{ArithmeticOperator, OrderOperator};

/// The result of an operator on numbers.
pub(crate) fn arithmetic<'a>(operator: ArithmeticOperator, arguments: &[Datum<'a>]) -> Datum<'a> {
    let ints = arguments.iter().map(Datum::int).collect::<Option<Vec<i128>>>();
    ints.and_then(|ints| exact(operator, &ints)).map_or_else(
        || {
            let numbers: Vec<f64> = arguments.iter().map(Datum::number).collect();
            Datum::Float(float(operator, &numbers))
        },
        Datum::Int,
    )
}

/// The result, if it is an integer that can be held.
fn exact(operator: ArithmeticOperator, numbers: &[i128]) -> Option<i128> {
    let found = match (operator, numbers) {
        (ArithmeticOperator::Add, numbers) => numbers.iter().try_fold(0_i128, |sum, number| sum.checked_add(*number)),
        (ArithmeticOperator::Multiply, numbers) => {
            numbers.iter().try_fold(1_i128, |product, number| product.checked_mul(*number))
        }
        (ArithmeticOperator::Subtract, [number]) => number.checked_neg(),
        (ArithmeticOperator::Subtract, [one, other]) => one.checked_sub(*other),
        (ArithmeticOperator::Remainder, [one, other]) => one.checked_rem(*other),
        (ArithmeticOperator::Min, numbers) => numbers.iter().min().copied(),
        (ArithmeticOperator::Max, numbers) => numbers.iter().max().copied(),
        (ArithmeticOperator::Divide | ArithmeticOperator::Subtract | ArithmeticOperator::Remainder, _) => None,
    };
    // Beyond 64 bits a number is not exact anywhere else.
    found.filter(|found| found.unsigned_abs() <= u128::from(u64::MAX))
}

fn float(operator: ArithmeticOperator, numbers: &[f64]) -> f64 {
    let first = numbers.first().copied().unwrap_or(f64::NAN);
    let second = numbers.get(1).copied();
    // NaN wins.
    let best = |better: fn(f64, f64) -> bool| {
        numbers.iter().copied().fold(first, |best, number| {
            if number.is_nan() || (!best.is_nan() && better(number, best)) { number } else { best }
        })
    };
    match operator {
        ArithmeticOperator::Add => numbers.iter().sum(),
        ArithmeticOperator::Multiply => numbers.iter().product(),
        ArithmeticOperator::Subtract => second.map_or(-first, |second| first - second),
        ArithmeticOperator::Divide => first / second.unwrap_or(f64::NAN),
        ArithmeticOperator::Remainder => first % second.unwrap_or(f64::NAN),
        ArithmeticOperator::Min => best(|number, best| number < best),
        ArithmeticOperator::Max => best(|number, best| number > best),
    }
}

/// Whether two values are in this order: two texts as texts, everything else as numbers.
pub(crate) fn in_order(operator: OrderOperator, one: &Datum<'_>, other: &Datum<'_>) -> bool {
    let as_text = |datum: &Datum<'_>| matches!(datum, Datum::Text(_) | Datum::List(_) | Datum::Object(_));
    let order = match (one.int(), other.int()) {
        (Some(one), Some(other)) => Some(one.cmp(&other)),
        _ if as_text(one) && as_text(other) => Some(one.text().cmp(&other.text())),
        _ => one.number().partial_cmp(&other.number()),
    };
    order.is_some_and(|order| match operator {
        OrderOperator::Less => order.is_lt(),
        OrderOperator::LessOrEqual => order.is_le(),
        OrderOperator::Greater => order.is_gt(),
        OrderOperator::GreaterOrEqual => order.is_ge(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use ArithmeticOperator::{Add, Divide, Max, Min, Multiply, Remainder, Subtract};

    #[test]
    fn numbers() {
        for (operator, arguments, wanted) in [
            (Add, json!([1, 2, "3"]), "6"),
            (Add, json!([u64::MAX, 0]), "18446744073709551615"),
            (Add, json!([u64::MAX, 1]), "18446744073709552000"),
            (Add, json!(["x", 1]), "NaN"),
            (Subtract, json!([5]), "-5"),
            (Subtract, json!([5, null]), "5"),
            (Multiply, json!([2, 3, 0.5]), "3"),
            (Divide, json!([1, 4]), "0.25"),
            (Divide, json!([1, 0]), "Infinity"),
            (Remainder, json!([-7, 3]), "-1"),
            (Remainder, json!([7, 0]), "NaN"),
            (Min, json!([3, 1, 2]), "1"),
            (Max, json!([3, "12", 2]), "12"),
            (Max, json!([3, "x", 2]), "NaN"),
        ] {
            let Value::Array(arguments) = arguments else { unreachable!("a list") };
            let arguments: Vec<_> = arguments.iter().map(Datum::from).collect();
            assert_eq!(arithmetic(operator, &arguments).text(), wanted, "{operator:?} {arguments:?}");
        }
    }

    #[test]
    fn order() {
        let less = |one: Value, other: Value| in_order(OrderOperator::Less, &Datum::from(&one), &Datum::from(&other));
        assert!(less(json!(9), json!(10)) && less(json!("10"), json!("9")) && less(json!("9"), json!(10)));
        assert!(less(json!(null), json!(1)) && less(json!(null), json!("1")) && !less(json!("a"), json!(null)));
        assert!(!less(json!("x"), json!(1)) && !less(json!(1), json!("x")));
    }
}
