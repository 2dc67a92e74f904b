//! A strong and a weak model: the strong one answers where it is expected to win, or so often that a share is met.

use std::{f64::consts::TAU, sync::Arc};

use super::{
    Calibrator, Constraints, ParameterError, Strategy, Weight,
    chance::uniform,
    gates::Gated,
    outcome::{Ranked, decision},
    parameters::check_share,
};
use crate::domain::{
    Ask, Calibrated, Candidate, Decision, Estimate, ModelName, Needs, NoRoute, Probability, Reason, Terms,
};

/// The key of the threshold that a share finds.
const NAME: &str = "win_rate";
/// Variance of the difference between two answers whose models are right every other time: what chance adds to what is
/// known of the models.
const ANSWER_VARIANCE: f64 = 0.5;
/// Win rates that differ by less are a tie: rounding is smaller, and no prediction is that fine.
const TIE: f64 = 1e-9;

/// When the strong model answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StrongGoal {
    /// Where its win rate is at least this, `[0, 1]`; a caller's `quality` lowers it towards `min`.
    WinRate(Weight),
    /// On this share of the requests, `[0, 1]`, those where its win rate is highest. Callers cannot move it.
    Share(f64),
}

/// What [`WinRate`] needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct WinRateParameters {
    /// What every model must meet.
    pub constraints: Constraints,
    /// The better and dearer model.
    pub strong: ModelName,
    /// The cheaper model.
    pub weak: ModelName,
    /// When the strong model answers.
    pub goal: StrongGoal,
    /// The model that is tried first when there are no scores; `None` means the strong one.
    pub default_model: Option<ModelName>,
    /// How many models stand by.
    pub max_fallbacks: usize,
}

/// Chooses between a strong and a weak model by the predicted win rate (the threshold of RouteLLM, arXiv 2406.18665):
///
/// ```text
/// w = Phi((q_s - q_w) / sqrt(s_s^2 + s_w^2 + 1/2))
/// ```
///
/// from predicted qualities and their spreads, by Thurstone's law of comparative judgement (1927) with the chance of single
/// answers at its largest; so the order of prompts is that of the expected gain, unless predictions are unsure.
///
/// A share is met by a threshold at the quantile of recent win rates ([`Calibration`](super::Calibration)), and ties go to the
/// strong model with the probability that meets it. Before there is recent traffic the router artifact's training prompts
/// stand for it; where the artifact keeps none, the share is drawn. Further candidates stand by in the policy's order.
#[derive(Clone, Debug)]
pub struct WinRate {
    parameters: WinRateParameters,
}

impl WinRate {
    /// Returns the strategy.
    ///
    /// # Errors
    /// Both models are the same, or a number is not in `[0, 1]` or outside its bounds.
    pub fn new(parameters: WinRateParameters) -> Result<Self, ParameterError> {
        if parameters.strong == parameters.weak {
            return Err(ParameterError::Same(parameters.strong.to_string()));
        }
        match parameters.goal {
            StrongGoal::WinRate(threshold) => threshold.check_share("threshold")?,
            StrongGoal::Share(share) => check_share("share", share)?,
        }
        Ok(Self { parameters })
    }

    fn choose(&self, ask: &Ask, gated: &Gated<'_>) -> Choice {
        if ask.unscored.is_some() {
            return Choice { reason: Reason::ScorerUnavailable, ..Choice::sure(true, None) };
        }
        let win_rate = match self.pair(gated) {
            (Some(strong), Some(weak)) => win_rate(&strong.estimate, &weak.estimate),
            // A model that does not fit loses.
            (strong, _) => return Choice::sure(strong.is_some(), None),
        };
        match (self.parameters.goal, ask.signals.calibrated.get(NAME)) {
            (StrongGoal::WinRate(threshold), _) => {
                let quality = ask.preferences.quality.map(|quality| quality.value());
                Choice::sure(win_rate >= threshold.at(quality), Some(win_rate))
            }
            (StrongGoal::Share(_), Some(found)) if (win_rate - found.value).abs() <= TIE => {
                Choice::drawn(found.mix, win_rate, ask.seed)
            }
            (StrongGoal::Share(_), Some(found)) => Choice::sure(win_rate > found.value, Some(win_rate)),
            (StrongGoal::Share(share), None) => {
                let drawn = Choice::drawn(Probability::clamped(share), win_rate, ask.seed);
                Choice { reason: Reason::Weighted, ..drawn }
            }
        }
    }

    /// Returns strong and weak, as far as they fit.
    fn pair<'a>(&self, gated: &Gated<'a>) -> (Option<&'a Candidate>, Option<&'a Candidate>) {
        let find = |name: &ModelName| gated.fitting.iter().copied().find(|candidate| candidate.model.name == *name);
        (find(&self.parameters.strong), find(&self.parameters.weak))
    }

    /// Returns a candidate's place in the order: without scores the default first, then the one that was chosen, then the
    /// other, then the rest.
    fn place(&self, name: &ModelName, choice: &Choice) -> u8 {
        let is_unscored = choice.reason == Reason::ScorerUnavailable;
        match name {
            name if is_unscored && self.parameters.default_model.as_ref() == Some(name) => 0,
            name if *name == self.parameters.strong => 2 - u8::from(choice.is_strong),
            name if *name == self.parameters.weak => 1 + u8::from(choice.is_strong),
            _ => 3,
        }
    }

    /// The utility of a model here is its win rate over the other one.
    fn terms(&self, candidate: &Candidate, choice: &Choice) -> Option<Terms> {
        let utility = match &candidate.model.name {
            name if *name == self.parameters.strong => choice.win_rate?,
            name if *name == self.parameters.weak => 1.0 - choice.win_rate?,
            _ => return None,
        };
        Some(Terms { quality: candidate.estimate.quality.value(), utility, ..Terms::default() })
    }
}

impl Strategy for WinRate {
    fn decide(&self, ask: &Ask) -> Result<Decision, NoRoute> {
        let gated = self.parameters.constraints.sift(ask)?;
        let choice = self.choose(ask, &gated);
        let mut order = gated.fitting.clone();
        // A stable sort: the rest stays in the policy's order.
        order.sort_by_key(|candidate| self.place(&candidate.model.name, &choice));
        let ranked = order.into_iter().map(|candidate| Ranked { candidate, terms: self.terms(candidate, &choice) });
        let decision = decision(ranked.collect(), gated, choice.reason, self.parameters.max_fallbacks)?;
        Ok(Decision { propensity: choice.propensity, ..decision })
    }

    fn needs(&self) -> Needs {
        Needs::SCORES
    }

    fn calibrators(&self) -> Vec<Arc<dyn Calibrator>> {
        match self.parameters.goal {
            StrongGoal::WinRate(_) => Vec::new(),
            StrongGoal::Share(share) => vec![Arc::new(Quantile { share, strategy: self.clone() })],
        }
    }
}

/// Which of the two, and how that came about.
struct Choice {
    is_strong: bool,
    win_rate: Option<f64>,
    reason: Reason,
    propensity: Probability,
}

impl Choice {
    fn sure(is_strong: bool, win_rate: Option<f64>) -> Self {
        let reason = if is_strong { Reason::StrongWins } else { Reason::WeakSuffices };
        Self { is_strong, win_rate, reason, propensity: Probability::ONE }
    }

    fn drawn(share: Probability, win_rate: f64, seed: u64) -> Self {
        let is_strong = uniform(seed, NAME) < share.value();
        let propensity = if is_strong { share.value() } else { 1.0 - share.value() };
        Self { propensity: Probability::clamped(propensity), ..Self::sure(is_strong, Some(win_rate)) }
    }
}

/// Finds the win rate above which a share of the requests lies.
struct Quantile {
    share: f64,
    strategy: WinRate,
}

impl Calibrator for Quantile {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn row(&self, ask: &Ask) -> Option<Vec<f64>> {
        let gated = self.strategy.parameters.constraints.sift(ask).ok()?;
        let (strong, weak) = self.strategy.pair(&gated);
        Some(vec![win_rate(&strong?.estimate, &weak?.estimate)])
    }

    fn fit(&self, rows: &[&[f64]]) -> Option<Calibrated> {
        let mut rates: Vec<f64> = rows.iter().filter_map(|row| row.first().copied()).collect();
        rates.sort_by(|one, other| other.total_cmp(one));
        let wanted = self.share * rates.len() as f64;
        let value = *rates.get(wanted as usize).or(rates.last())?;
        let above = rates.iter().filter(|rate| **rate > value + TIE).count() as f64;
        let tied = rates.iter().filter(|rate| (**rate - value).abs() <= TIE).count() as f64;
        Some(Calibrated { value, mix: Probability::clamped((wanted - above) / tied) })
    }
}

/// Returns how often the strong model is expected to win over the weak one, `[0, 1]`; half is a draw.
fn win_rate(strong: &Estimate, weak: &Estimate) -> f64 {
    let variance = strong.spread.powi(2) + weak.spread.powi(2) + ANSWER_VARIANCE;
    normal_share((strong.quality.value() - weak.quality.value()) / variance.sqrt())
}

/// Returns the share of the standard normal distribution below `x`: Abramowitz and Stegun 1964, formula 26.2.17, off by less
/// than 7.5e-8.
pub(super) fn normal_share(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let weights = [1.330_274_429, -1.821_255_978, 1.781_477_937, -0.356_563_782, 0.319_381_530];
    let tail = weights.iter().fold(0.0, |sum, weight| (sum + weight) * t) * (-x * x / 2.0).exp() / TAU.sqrt();
    if x < 0.0 { tail } else { 1.0 - tail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::ScoresUnavailable,
        routing::{
            Calibration, MIN_ROWS,
            samples::{ask, expected},
        },
    };

    fn name(text: &str) -> ModelName {
        ModelName::parse(text).unwrap()
    }

    fn parameters(goal: StrongGoal) -> WinRateParameters {
        WinRateParameters {
            constraints: Constraints::default(),
            strong: name("strong"),
            weak: name("weak"),
            goal,
            default_model: None,
            max_fallbacks: 2,
        }
    }

    fn strategy(goal: StrongGoal) -> WinRate {
        WinRate::new(parameters(goal)).unwrap()
    }

    fn threshold(value: f64) -> WinRate {
        strategy(StrongGoal::WinRate(Weight::fixed(value)))
    }

    fn share(share: f64) -> WinRate {
        strategy(StrongGoal::Share(share))
    }

    /// A prompt on which the strong model is better by `gain`.
    fn prompt(gain: f64) -> Ask {
        let mut ask = ask(vec![
            expected("other", 0.99, 1, 1),
            expected("weak", 0.5, 1_000_000, 1_000),
            expected("strong", 0.5 + gain, 20_000_000, 8_000),
        ]);
        ask.signals.artifact = Some(Arc::from("a"));
        ask
    }

    fn legs(decision: &Decision) -> Vec<&str> {
        decision.plan.legs().map(|leg| leg.model.as_str()).collect()
    }

    #[test]
    fn shares_of_the_normal_distribution_are_those_of_the_tables() {
        for (x, expected) in [(0.0, 0.5), (1.0, 0.841_345), (-1.0, 0.158_655), (1.96, 0.975_002), (-3.0, 0.001_350)] {
            assert!((normal_share(x) - expected).abs() < 1e-6, "{x}");
        }
    }

    #[test]
    fn the_strong_model_answers_where_it_is_expected_to_win() {
        let gains = [0.05, 0.3].map(|gain| threshold(0.6).decide(&prompt(gain)).unwrap());

        assert_eq!((legs(&gains[0]), gains[0].reason), (vec!["weak", "strong", "other"], Reason::WeakSuffices));
        assert_eq!((legs(&gains[1]), gains[1].reason), (vec!["strong", "weak", "other"], Reason::StrongWins));
    }

    #[test]
    fn an_unsure_gain_counts_less() {
        let (sure, mut unsure) = (prompt(0.2), prompt(0.2));
        unsure.candidates.iter_mut().for_each(|candidate| candidate.estimate.spread = 0.4);
        let between = win_rate(&sure.candidates[2].estimate, &sure.candidates[1].estimate) - 0.01;

        assert_eq!(legs(&threshold(between).decide(&sure).unwrap())[0], "strong");
        assert_eq!(legs(&threshold(between).decide(&unsure).unwrap())[0], "weak");
    }

    #[test]
    fn a_share_is_met_on_traffic_like_that_before() {
        for wanted in [0.0, 0.1, 0.4, 0.75, 1.0] {
            let strategy = share(wanted);
            let calibration = Calibration::new(strategy.calibrators());
            let traffic: Vec<Ask> = (0..500).map(|index| prompt(f64::from(index * 37 % 500) / 1_000.0)).collect();
            traffic.iter().for_each(|ask| calibration.learn(ask));

            let decided = traffic.iter().enumerate().map(|(seed, ask)| {
                let mut ask = Ask { seed: seed as u64, ..ask.clone() };
                ask.signals.calibrated = calibration.numbers("a");
                legs(&strategy.decide(&ask).unwrap())[0] == "strong"
            });

            let found = decided.filter(|is_strong| *is_strong).count() as f64 / 500.0;
            // The number is refitted every 16 rows, so up to 15 of the 500 came after it.
            assert!((found - wanted).abs() < 0.02, "{found} instead of {wanted}");
        }
    }

    #[test]
    fn a_share_is_met_where_all_requests_look_the_same() {
        let strategy = share(0.4);
        let calibration = Calibration::new(strategy.calibrators());
        (0..MIN_ROWS).for_each(|_| calibration.learn(&prompt(0.2)));
        let mut ask = prompt(0.2);
        ask.signals.calibrated = calibration.numbers("a");

        let decisions = (0..4_000).map(|seed| strategy.decide(&Ask { seed, ..ask.clone() }).unwrap());
        let strong: Vec<Decision> = decisions.filter(|decision| legs(decision)[0] == "strong").collect();

        // The standard error of a share of 0.4 in 4,000 draws is 0.008: three of them either way.
        assert!((1_507..=1_693).contains(&strong.len()), "{}", strong.len());
        assert!(strong.iter().all(|decision| (decision.propensity.value() - 0.4).abs() < 1e-9));
    }

    #[test]
    fn a_share_without_a_threshold_is_drawn() {
        let decisions = (0..4_000).map(|seed| share(0.4).decide(&Ask { seed, ..prompt(0.2) }).unwrap());
        let strong: Vec<Decision> = decisions.filter(|decision| legs(decision)[0] == "strong").collect();

        assert!((1_507..=1_693).contains(&strong.len()), "{}", strong.len());
        assert!(strong.iter().all(|decision| decision.reason == Reason::Weighted));
    }

    #[test]
    fn a_threshold_found_with_another_artifact_is_never_used() {
        let strategy = share(0.4);
        let calibration = Calibration::new(strategy.calibrators());
        (0..MIN_ROWS).for_each(|_| calibration.learn(&prompt(0.2)));

        assert!(calibration.numbers("a").contains_key(NAME));
        assert!(calibration.numbers("b").is_empty());
    }

    #[test]
    fn a_model_that_does_not_fit_loses() {
        let mut ask = prompt(0.4);
        ask.preferences.max_cost = Some(crate::domain::NanoUsd(30_000_000));

        let decision = threshold(0.1).decide(&ask).unwrap();

        assert_eq!((legs(&decision), decision.reason), (vec!["weak", "other"], Reason::WeakSuffices));
    }

    #[test]
    fn without_scores_the_default_model_comes_first_or_else_the_strong_one() {
        let with_default = |default: Option<&str>| {
            let goal = StrongGoal::WinRate(Weight::fixed(0.6));
            let parameters = WinRateParameters { default_model: default.map(name), ..parameters(goal) };
            let ask = Ask { unscored: Some(ScoresUnavailable::Late), ..prompt(0.0) };
            WinRate::new(parameters).unwrap().decide(&ask).unwrap()
        };

        assert_eq!(legs(&with_default(None)), ["strong", "weak", "other"]);
        assert_eq!(legs(&with_default(Some("weak"))), ["weak", "strong", "other"]);
        assert_eq!(with_default(None).reason, Reason::ScorerUnavailable);
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let refused = |parameters| WinRate::new(parameters).unwrap_err().to_string();

        assert!(refused(parameters(StrongGoal::Share(1.5))).starts_with("share must be a number from 0 to 1"));
        assert!(refused(parameters(StrongGoal::WinRate(Weight::fixed(-0.1)))).starts_with("threshold"));
        let same = WinRateParameters { weak: name("strong"), ..parameters(StrongGoal::Share(0.5)) };
        assert_eq!(refused(same), "strong cannot be compared with itself");
    }
}
