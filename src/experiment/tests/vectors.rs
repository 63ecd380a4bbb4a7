//! Vectors that gbstats 0.8.0 printed (and tea-tasting 1.14.0, of absolute differences), at alpha 0.05 and 5000 users.

use super::*;
use crate::experiment::always_valid::always_valid;
use crate::experiment::effect::EffectInterval;
use crate::experiment::metric_result::EffectResult;

/// What another implementation has printed of a difference.
struct Vector {
    value: f64,
    always: [f64; 3],
    fixed: [f64; 3],
}

/// Within half of the last of ten decimals.
fn near(found: f64, wanted: f64) -> bool {
    (found - wanted).abs() < 6e-11
}

fn numbers(interval: &EffectInterval) -> [f64; 3] {
    [interval.p, interval.low, interval.high]
}

fn check(found: &EffectResult, vector: &Vector) {
    // It is held back where there are few conversions; the formula is checked there as well.
    let always = numbers(&always_valid(&found.effect, alpha()));
    let all = [(found.effect.value, vector.value)]
        .into_iter()
        .chain(always.into_iter().zip(vector.always))
        .chain(numbers(&found.fixed).into_iter().zip(vector.fixed));
    for (found, wanted) in all {
        assert!(near(found, wanted), "found {found}, want {wanted}");
    }
}

#[test]
fn conversions_come_out() {
    let both = |control, treatment| {
        let [control, treatment] = conversions(control, treatment);
        result(Measure::Conversion, control, treatment)
    };
    let result = both([100, 1000], [130, 1000]);
    check(
        &result.absolute.unwrap(),
        &Vector {
            value: 0.03,
            always: [0.378_931_507_6, -0.014_517_962_1, 0.074_517_962_1],
            fixed: [0.035_411_490_3, 0.002_050_784_3, 0.057_949_215_7],
        },
    );
    check(
        &result.relative.unwrap(),
        &Vector {
            value: 0.3,
            always: [0.562_220_872_9, -0.208_706_250_2, 0.808_706_250_2],
            fixed: [0.065_597_332_6, -0.019_375_372_3, 0.619_375_372_3],
        },
    );
    check(
        &both([500, 10_000], [600, 10_000]).absolute.unwrap(),
        &Vector {
            value: 0.01,
            always: [0.053_880_587_6, -7.979_05e-5, 0.020_079_790_5],
            fixed: [0.001_922_535_0, 0.003_681_960_4, 0.016_318_039_6],
        },
    );
    check(
        &both([10, 1000], [30, 1000]).absolute.unwrap(),
        &Vector {
            value: 0.02,
            always: [0.041_368_256_3, 0.000_492_005_8, 0.039_507_994_2],
            fixed: [0.001_388_756_1, 0.007_750_810_1, 0.032_249_189_9],
        },
    );
}

#[test]
fn means_come_out() {
    let sums = |users, x, x_squares| MetricSums { users, x, x_squares, ..MetricSums::default() };
    let result = result(Measure::Mean, sums(1000, 5000.0, 29_000.0), sums(1100, 5830.0, 35_000.0));
    check(
        &result.absolute.unwrap(),
        &Vector {
            value: 0.3,
            always: [0.019_315_115_7, 0.032_214_610_2, 0.567_785_389_8],
            fixed: [0.000_496_307_7, 0.131_340_217_3, 0.468_659_782_7],
        },
    );
    check(
        &result.relative.unwrap(),
        &Vector {
            value: 0.06,
            always: [0.025_903_883_2, 0.004_680_159_6, 0.115_319_840_4],
            fixed: [0.000_746_042_9, 0.025_157_799_4, 0.094_842_200_6],
        },
    );
}

#[test]
fn ratios_come_out() {
    let control =
        MetricSums { users: 1000, x: 12_000.0, x_squares: 180_000.0, y: 2000.0, y_squares: 5200.0, products: 26_500.0 };
    let treatment =
        MetricSums { users: 1000, x: 13_200.0, x_squares: 214_000.0, y: 2050.0, y_squares: 5400.0, products: 29_800.0 };
    let result = result(Measure::Ratio, control, treatment);
    check(
        &result.absolute.unwrap(),
        &Vector {
            value: 0.439_024_390_2,
            always: [0.111_561_808_4, -0.056_900_917_7, 0.934_949_698_1],
            fixed: [0.005_738_187_6, 0.127_675_476_0, 0.750_373_304_5],
        },
    );
    check(
        &result.relative.unwrap(),
        &Vector {
            value: 0.073_170_731_7,
            always: [0.136_344_186_9, -0.012_491_254_0, 0.158_832_717_4],
            fixed: [0.007_685_988_3, 0.019_390_927_0, 0.126_950_536_5],
        },
    );
}

#[test]
fn means_adjusted_by_what_was_known_before_come_out() {
    let sums = |x, x_squares, y, y_squares, products| MetricSums { users: 1000, x, x_squares, y, y_squares, products };
    let control = sums(5000.0, 29_000.0, 4800.0, 27_000.0, 27_000.0);
    let treatment = sums(5200.0, 31_000.0, 4790.0, 26_900.0, 27_800.0);
    let result = result(Measure::AdjustedMean, control, treatment);
    check(
        &result.absolute.unwrap(),
        &Vector {
            value: 0.207_441_936_8,
            always: [0.021_101_883_9, 0.020_588_319_5, 0.394_295_554_2],
            fixed: [0.000_535_521_7, 0.090_132_555_7, 0.324_751_318_0],
        },
    );
    check(
        &result.relative.unwrap(),
        &Vector {
            value: 0.041_488_387_4,
            always: [0.025_100_961_4, 0.003_387_699_0, 0.079_589_075_8],
            fixed: [0.000_683_313_6, 0.017_568_228_7, 0.065_408_546_1],
        },
    );
    // What was known before makes it surer.
    let plain = super::result(Measure::Mean, control, treatment);
    assert!(plain.absolute.unwrap().effect.variance > result.absolute.unwrap().effect.variance);
}
