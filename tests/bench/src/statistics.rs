//! Quantiles.

/// The value below which the share `quantile` (0 to 1) of `values` lies; they get sorted.
pub(crate) fn quantile(values: &mut [f64], quantile: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index into some thousand samples, from a share between 0 and 1"
    )]
    let index = (last as f64 * quantile).round() as usize;
    values.get(index).copied().unwrap_or(f64::NAN)
}

/// The middle one.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

#[cfg(test)]
mod tests {
    use super::{median, quantile};

    #[test]
    fn quantiles_of_a_few_values() {
        let mut values = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert!((median(&mut values) - 3.0).abs() < f64::EPSILON);
        assert!((quantile(&mut values, 1.0) - 5.0).abs() < f64::EPSILON);
        assert!((quantile(&mut values, 0.0) - 1.0).abs() < f64::EPSILON);
    }
}
