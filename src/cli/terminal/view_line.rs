//! A view as lines of toned spans; the terminal and its colours are elsewhere, so that a view is a golden test.

/// What a span means; how that looks is the screen's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ViewTone {
    /// Text.
    Plain,
    /// A heading or a label.
    Dim,
    /// The name of the whole.
    Title,
    /// Something to type.
    Command,
    /// Belongs to the first version.
    V1,
    /// Belongs to the second one.
    V2,
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Not as it should be.
    Bad,
}

/// A piece of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// What it says.
    pub(crate) text: String,
    /// What it means.
    pub(crate) tone: ViewTone,
}

/// A line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ViewLine(pub(crate) Vec<Span>);

impl ViewLine {
    /// With another span at its end.
    #[must_use]
    pub(crate) fn with(mut self, tone: ViewTone, text: impl Into<String>) -> Self {
        self.0.push(Span { text: text.into(), tone });
        self
    }

    /// A line of one span.
    #[must_use]
    pub(crate) fn of(tone: ViewTone, text: impl Into<String>) -> Self {
        Self::default().with(tone, text)
    }

    /// With a bar of this many cells at its end: the shares of versions, from the left.
    #[must_use]
    pub(crate) fn with_bar(mut self, shares: &[f64], size: usize) -> Self {
        const LOOKS: [(ViewTone, &str); 3] = [(ViewTone::V1, "█"), (ViewTone::V2, "▒"), (ViewTone::Plain, "░")];
        let whole: f64 = shares.iter().sum();
        let (mut passed, mut drawn) = (0.0, 0);
        for (share, (tone, glyph)) in shares.iter().zip(LOOKS.into_iter().cycle()) {
            passed += share;
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of the cells")]
            let end = if whole > 0.0 { ((passed / whole * size as f64).round() as usize).min(size) } else { 0 };
            if end > drawn {
                self = self.with(tone, glyph.repeat(end - drawn));
                drawn = end;
            }
        }
        self
    }
}

/// How much room there is, in cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ViewSize {
    /// Of a line.
    pub(crate) width: usize,
    /// Lines.
    pub(crate) height: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(shares: &[f64], size: usize) -> String {
        ViewLine::default().with_bar(shares, size).0.iter().map(|span| span.text.as_str()).collect()
    }

    #[test]
    fn a_bar_has_all_its_cells_however_its_shares_round() {
        assert_eq!(bar(&[90.0, 10.0], 10), "█████████▒");
        assert_eq!(bar(&[100.0, 0.0], 4), "████");
        assert_eq!(bar(&[50.0, 25.0, 25.0], 8), "████▒▒░░");
        assert_eq!(bar(&[1.0, 1.0, 1.0], 10).chars().count(), 10);
        assert_eq!(bar(&[0.0, 0.0], 10), "");
    }
}
