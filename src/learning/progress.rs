//! Who is told how far training has come.

/// A listener.
pub trait Progress: Sync {
    /// A stage of `steps` steps begins.
    fn begin(&self, stage: &'static str, steps: u64);

    /// A step of the current stage is done.
    fn step(&self);
}

/// A listener that does not listen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _stage: &'static str, _steps: u64) {}

    fn step(&self) {}
}
