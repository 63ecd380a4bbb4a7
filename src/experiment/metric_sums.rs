//! What is known of a metric in an arm: sums over its users, nothing else.
//!
//! One user is one unit: whatever a user does in a hundred requests is one `x` here, and one `y` where the metric has
//! a second number of each user (what a ratio divides by, or what was known of the user before).

use crate::problem::Mismatch;

/// Rounding of sums that were written with few digits; a variance below zero by no more than that is zero.
const ROUNDING: f64 = 1e-9;

/// Sums over the users of an arm.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MetricSums {
    /// How many users.
    pub users: u64,
    /// The sum of their `x`: conversions (0 or 1 each), or values.
    pub x: f64,
    /// The sum of the squares of `x`.
    pub x_squares: f64,
    /// The sum of their `y`.
    pub y: f64,
    /// The sum of the squares of `y`.
    pub y_squares: f64,
    /// The sum of the products of `x` and `y`.
    pub products: f64,
}

impl MetricSums {
    /// Conversions alone, for which `x` is its own square.
    #[must_use]
    pub fn of_conversions(users: u64, conversions: u64) -> Self {
        let x = conversions as f64;
        Self { users, x, x_squares: x, ..Self::default() }
    }

    /// One user more.
    pub fn add_user(&mut self, x: f64, y: f64) {
        self.users += 1;
        self.x += x;
        self.x_squares += x * x;
        self.y += y;
        self.y_squares += y * y;
        self.products += x * y;
    }

    /// The users of both.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            users: self.users + other.users,
            x: self.x + other.x,
            x_squares: self.x_squares + other.x_squares,
            y: self.y + other.y,
            y_squares: self.y_squares + other.y_squares,
            products: self.products + other.products,
        }
    }

    pub(crate) fn count(&self) -> f64 {
        self.users as f64
    }

    pub(crate) fn mean_x(&self) -> f64 {
        self.x / self.count()
    }

    pub(crate) fn mean_y(&self) -> f64 {
        self.y / self.count()
    }

    /// The variance of a user's `x`.
    pub(crate) fn variance_x(&self) -> f64 {
        self.moment(self.x_squares, self.x, self.x).max(0.0)
    }

    /// The variance of a user's `y`.
    pub(crate) fn variance_y(&self) -> f64 {
        self.moment(self.y_squares, self.y, self.y).max(0.0)
    }

    /// How `x` and `y` of a user go together.
    pub(crate) fn covariance(&self) -> f64 {
        self.moment(self.products, self.x, self.y)
    }

    fn moment(&self, products: f64, left: f64, right: f64) -> f64 {
        (products - left * right / self.count()) / (self.count() - 1.0)
    }

    /// What is wrong with written sums, if no users can have them.
    pub(crate) fn fault(&self) -> Option<Mismatch> {
        let sums = [self.x, self.x_squares, self.y, self.y_squares, self.products];
        if let Some(bad) = sums.iter().find(|sum| !sum.is_finite()) {
            return Some(Mismatch::new(bad.to_string(), "a number", "write the sum over all users"));
        }
        if self.users == 0 && sums.iter().any(|sum| *sum != 0.0) {
            return Some(Mismatch::new("sums of no users", "users of the arm", "write how many users there were"));
        }
        for (squares, sum) in [(self.x_squares, self.x), (self.y_squares, self.y)] {
            // The squares of n numbers add up to the square of their sum by n at least.
            let least = if self.users == 0 { 0.0 } else { sum * sum / self.count() };
            if squares < least * (1.0 - ROUNDING) {
                let wanted = format!("{least} or more, for {} users with a sum of {sum}", self.users);
                let remedy = "write the sum of the squares of each user's value";
                return Some(Mismatch::new(format!("squares of {squares}"), wanted, remedy));
            }
        }
        let (both, limit) = (self.covariance(), (self.variance_x() * self.variance_y()).sqrt());
        if self.users > 1 && both.abs() > limit * (1.0 + ROUNDING) + ROUNDING * self.products.abs() {
            let found = format!("products of {}", self.products);
            let remedy = "write the sum of the product of each user's two values";
            return Some(Mismatch::new(found, "what the sums and squares allow", remedy));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_add_up_to_sums_and_back_to_moments() {
        let mut sums = MetricSums::default();
        for (x, y) in [(1.0, 2.0), (2.0, 1.0), (6.0, 3.0)] {
            sums.add_user(x, y);
        }
        assert_eq!((sums.users, sums.mean_x(), sums.mean_y()), (3, 3.0, 2.0));
        assert_eq!((sums.variance_x(), sums.variance_y(), sums.covariance()), (7.0, 1.0, 2.0));
        assert_eq!(sums.plus(&sums).users, 6);
        assert_eq!(sums.fault(), None);
    }

    #[test]
    fn sums_that_no_users_have_are_refused() {
        let good = MetricSums { users: 10, x: 20.0, x_squares: 50.0, y: 10.0, y_squares: 12.0, products: 22.0 };
        assert_eq!(good.fault(), None);
        assert_eq!(MetricSums { users: 10, x: 20.0, x_squares: 40.0, ..MetricSums::default() }.fault(), None);
        for bad in [
            MetricSums { x: f64::NAN, ..good },
            MetricSums { y_squares: f64::INFINITY, ..good },
            MetricSums { users: 0, ..good },
            MetricSums { x_squares: 39.0, ..good },
            MetricSums { y_squares: 9.0, ..good },
            MetricSums { products: 30.0, ..good },
        ] {
            assert!(bad.fault().is_some(), "{bad:?}");
        }
    }
}
