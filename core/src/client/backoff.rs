//! How long to wait before the next try.

use core::time::Duration;

use super::Retries;

/// Jitter from a seed (splitmix64): the same seed gives the same pauses.
#[derive(Clone, Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) fn new(seed: u64) -> Jitter {
        Jitter(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Between the half and the whole of `span`: many clients that failed together do not come back together.
    fn spread(&mut self, span: Duration) -> Duration {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let half = millis / 2;
        Duration::from_millis(half + self.next() % (millis - half + 1))
    }

    /// The pause after the try number `attempt`, counted from 1.
    pub(super) fn delay(&mut self, retries: &Retries, attempt: u32) -> Duration {
        let doubled = 1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let span = retries.first_delay.checked_mul(doubled).unwrap_or(retries.longest_delay);
        // A pause of nothing would let a deadline come twice at the same moment.
        self.spread(span.min(retries.longest_delay)).max(Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_their_bound_and_depend_on_the_seed_alone() {
        let retries = Retries::default();
        let pauses = |seed| {
            let mut jitter = Jitter::new(seed);
            (1..=40).map(|attempt| jitter.delay(&retries, attempt)).collect::<std::vec::Vec<_>>()
        };
        assert_eq!(pauses(7), pauses(7));
        assert_ne!(pauses(7), pauses(8));
        for (attempt, pause) in pauses(7).into_iter().enumerate() {
            let whole = retries.first_delay.saturating_mul(1 << attempt.min(10)).min(retries.longest_delay);
            assert!(pause <= whole && pause >= whole / 2, "{attempt}: {pause:?}");
        }
        let none = Retries { first_delay: Duration::ZERO, ..Retries::default() };
        assert!(Jitter::new(0).delay(&none, 1) > Duration::ZERO);
    }
}
