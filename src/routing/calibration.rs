//! Numbers that a strategy finds in recent traffic: the price of quality that meets a budget, the threshold that meets a share.
//!
//! A strategy stays pure: it says which rows of numbers an ask gives ([`Calibrator::row`]) and what number follows from rows
//! ([`Calibrator::fit`]). The policy keeps the rows ([`Calibration`]), the gateway puts the numbers into the ask before the
//! decision ([`Signals::calibrated`](crate::domain::Signals::calibrated)), so that a record replays with the number of its
//! time.
//!
//! # Invariants
//!
//! - Rows of one router artifact never meet those of another, and a number found with one never reaches an ask scored with
//!   another.
//! - Before [`MIN_ROWS`] rows of traffic the number is that of the artifact's own training prompts ([`Calibration::start`]);
//!   where it keeps none there is no number, and the strategy does what it documents for that.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;

use crate::domain::{Ask, Calibrated};

/// Rows kept: a share of a half found from this many has a standard error of 2 %, and older traffic is another traffic.
const MAX_ROWS: usize = 512;
/// Rows before there is a number: a share of a half then has a standard error of 9 %.
pub const MIN_ROWS: usize = 32;
/// Rows between two fits: 3 % of the rows are new, and a fit of all rows costs less than scoring sixteen prompts.
const ROWS_PER_FIT: usize = 16;

/// A number of a strategy that recent traffic sets.
pub trait Calibrator: Send + Sync {
    /// Returns its name, unique within the strategy; the key in [`Signals::calibrated`](crate::domain::Signals::calibrated).
    fn name(&self) -> String;

    /// Returns what this ask, which was scored, teaches, laid out as the calibrator likes; `None` when it teaches nothing. It must not depend on chance, nor on the number that is calibrated.
    fn row(&self, ask: &Ask) -> Option<Vec<f64>>;

    /// Returns the number that fits these rows, at least [`MIN_ROWS`] of them; `None` when none does.
    fn fit(&self, rows: &[&[f64]]) -> Option<Calibrated>;
}

/// The recent rows of every calibrator of a policy. Memory is bounded: 512 rows each.
#[derive(Default)]
pub struct Calibration {
    recent: Vec<(Arc<dyn Calibrator>, Mutex<Recent>)>,
}

#[derive(Default)]
struct Recent {
    artifact: Arc<str>,
    rows: VecDeque<Vec<f64>>,
    since_fit: usize,
    number: Option<Calibrated>,
}

impl Calibration {
    /// Returns a calibration without rows.
    pub fn new(calibrators: Vec<Arc<dyn Calibrator>>) -> Self {
        Self { recent: calibrators.into_iter().map(|calibrator| (calibrator, Mutex::default())).collect() }
    }

    /// Returns the numbers that hold for prompts scored with this artifact, by the names of their calibrators.
    pub fn numbers(&self, artifact: &str) -> BTreeMap<String, Calibrated> {
        let number = |(calibrator, recent): &(Arc<dyn Calibrator>, Mutex<Recent>)| {
            let recent = recent.lock();
            let number = recent.number.filter(|_| *recent.artifact == *artifact)?;
            Some((calibrator.name(), number))
        };
        self.recent.iter().filter_map(number).collect()
    }

    /// Returns whether there is a calibrator that neither traffic nor training prompts of this artifact have told anything.
    pub fn is_blank(&self, artifact: &str) -> bool {
        self.recent.iter().any(|(_, recent)| *recent.lock().artifact != *artifact)
    }

    /// Takes the asks that training prompts of an artifact would have been, for the numbers to start from; what is known of
    /// another artifact is thrown away. They count no more once there are [`MIN_ROWS`] rows of traffic.
    pub fn start(&self, artifact: &Arc<str>, asks: &[Ask]) {
        for (calibrator, recent) in &self.recent {
            let rows: Vec<Vec<f64>> = asks.iter().filter_map(|ask| calibrator.row(ask)).collect();
            let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
            let number = if rows.len() < MIN_ROWS { None } else { calibrator.fit(&rows) };
            let mut recent = recent.lock();
            if recent.artifact != *artifact {
                *recent = Recent { artifact: Arc::clone(artifact), number, ..Recent::default() };
            }
        }
    }

    /// Takes in an ask that was decided. A row of another artifact than the rows before throws those away; an ask without
    /// scores teaches nothing.
    pub fn learn(&self, ask: &Ask) {
        let Some(artifact) = &ask.signals.artifact else { return };
        for (calibrator, recent) in &self.recent {
            if let Some(row) = calibrator.row(ask) {
                recent.lock().take(row, artifact, calibrator.as_ref());
            }
        }
    }
}

impl Recent {
    fn take(&mut self, row: Vec<f64>, artifact: &Arc<str>, calibrator: &dyn Calibrator) {
        if self.artifact != *artifact {
            *self = Self { artifact: Arc::clone(artifact), ..Self::default() };
        }
        if self.rows.len() == MAX_ROWS {
            self.rows.pop_front();
        }
        self.rows.push_back(row);
        self.since_fit += 1;
        let is_first = self.rows.len() == MIN_ROWS;
        if is_first || (self.rows.len() > MIN_ROWS && self.since_fit >= ROWS_PER_FIT) {
            let rows: Vec<&[f64]> = self.rows.iter().map(Vec::as_slice).collect();
            self.number = calibrator.fit(&rows);
            self.since_fit = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::Probability, routing::samples::ask};

    /// The mean of the prompts' characters.
    struct Mean;

    impl Calibrator for Mean {
        fn name(&self) -> String {
            "mean".to_owned()
        }

        fn row(&self, ask: &Ask) -> Option<Vec<f64>> {
            (ask.signals.characters > 0).then(|| vec![ask.signals.characters as f64])
        }

        fn fit(&self, rows: &[&[f64]]) -> Option<Calibrated> {
            let value = rows.iter().map(|row| row[0]).sum::<f64>() / rows.len() as f64;
            Some(Calibrated { value, mix: Probability::ONE })
        }
    }

    fn asked(characters: u64, artifact: &str) -> Ask {
        let mut ask = ask(Vec::new());
        ask.signals.characters = characters;
        ask.signals.artifact = Some(Arc::from(artifact));
        ask
    }

    fn number(calibration: &Calibration, artifact: &str) -> Option<f64> {
        calibration.numbers(artifact).get("mean").map(|number| number.value)
    }

    #[test]
    fn there_is_no_number_before_there_are_rows_enough() {
        let calibration = Calibration::new(vec![Arc::new(Mean)]);

        for _ in 1..MIN_ROWS {
            calibration.learn(&asked(10, "a"));
        }
        assert_eq!(number(&calibration, "a"), None);

        calibration.learn(&asked(0, "a"));
        assert_eq!(number(&calibration, "a"), None);
        calibration.learn(&asked(10, "a"));
        assert_eq!(number(&calibration, "a"), Some(10.0));
    }

    #[test]
    fn old_rows_make_room_for_new_ones() {
        let calibration = Calibration::new(vec![Arc::new(Mean)]);
        (0..MAX_ROWS).for_each(|_| calibration.learn(&asked(10, "a")));

        (0..MAX_ROWS).for_each(|_| calibration.learn(&asked(30, "a")));

        assert_eq!(number(&calibration, "a"), Some(30.0));
        assert_eq!(calibration.recent[0].1.lock().rows.len(), MAX_ROWS);
    }

    #[test]
    fn training_prompts_count_until_there_is_traffic_enough() {
        let calibration = Calibration::new(vec![Arc::new(Mean)]);
        let artifact = Arc::from("a");
        assert!(calibration.is_blank("a"));

        calibration.start(&artifact, &vec![asked(50, "a"); MIN_ROWS]);

        assert!(!calibration.is_blank("a") && calibration.is_blank("b"));
        assert_eq!((number(&calibration, "a"), number(&calibration, "b")), (Some(50.0), None));
        (1..MIN_ROWS).for_each(|_| calibration.learn(&asked(10, "a")));
        assert_eq!(number(&calibration, "a"), Some(50.0));
        calibration.learn(&asked(10, "a"));
        assert_eq!(number(&calibration, "a"), Some(10.0));
    }

    #[test]
    fn a_late_start_takes_nothing_from_traffic() {
        let calibration = Calibration::new(vec![Arc::new(Mean)]);
        (0..MIN_ROWS).for_each(|_| calibration.learn(&asked(10, "a")));

        calibration.start(&Arc::from("a"), &vec![asked(50, "a"); MIN_ROWS]);

        assert_eq!(number(&calibration, "a"), Some(10.0));
    }

    #[test]
    fn another_artifact_starts_from_nothing() {
        let calibration = Calibration::new(vec![Arc::new(Mean)]);
        (0..MIN_ROWS).for_each(|_| calibration.learn(&asked(10, "a")));

        assert_eq!(number(&calibration, "b"), None);
        calibration.learn(&asked(30, "b"));

        assert_eq!((number(&calibration, "a"), number(&calibration, "b")), (None, None));
    }
}
