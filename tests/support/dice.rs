//! Chance that can be repeated.

/// A generator that gives the same numbers for the same seed.
pub struct Dice(u64);

impl Dice {
    /// Dice for a seed. Any number will do.
    pub fn new(seed: u64) -> Self {
        let mut dice = Self(seed);
        // Seeds that follow each other begin alike.
        dice.roll(2);
        dice.roll(2);
        dice
    }

    /// A number below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    /// A place below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.roll(end as u64) as usize
    }

    /// One of them.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        self.roll(256) as u8
    }
}
