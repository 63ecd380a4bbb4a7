//! The pulse of a part: whether it makes progress, by what each look at it saw. Pure.

/// What the looks at one part have found. Pure: what was seen goes in.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pulse {
    beats: u64,
    /// Looks without progress.
    looks: u32,
    stalled: bool,
}

impl Pulse {
    /// Takes what a look has seen: how often the part has beaten, and whether it waits for something to do.
    pub(crate) fn look(&mut self, beats: u64, idle: bool, looks_max: u32) {
        let progress = idle || beats != self.beats;
        self.looks = if progress { 0 } else { self.looks.saturating_add(1) };
        self.beats = beats;
        self.stalled = self.looks >= looks_max;
    }

    /// Whether there was no progress for too long.
    #[must_use]
    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_without_progress_is_stalled_until_it_goes_on_and_one_that_waits_is_not() {
        let mut pulse = Pulse::default();
        pulse.look(7, false, 3);
        for look in 1..10 {
            pulse.look(7, false, 3);
            assert_eq!(pulse.is_stalled(), look >= 3);
        }
        pulse.look(8, false, 3);
        assert!(!pulse.is_stalled());
        (0..100).for_each(|_| pulse.look(8, true, 3));
        assert!(!pulse.is_stalled(), "it has nothing to do");
    }
}
