//! Measuring a router on prompts that it did not see, beside what needs no router.
//!
//! ```text
//! parts        a set's records -> to learn from, to tune on, to report
//! outcomes     records         -> complete rows of scores and costs
//! forecast     prompts         -> asks, as strategies get them in the gateway
//! families     strategies at many settings; baselines predict by themselves
//! replay       the same, one prompt after the other, for strategies that learn from earlier ones
//! choices      settings        -> who was chosen, and what came of it
//! metrics      choices         -> figures; preference: two models; calibration: predicted quality
//! contenders   all of them, on the same resamples
//! stability    paraphrases     -> how many choices stay
//! report       tables and JSON; plots: SVG; predictions: a line per prompt
//! ```
//!
//! # Invariants
//!
//! - What the router was trained on is left out, and so is what baselines and fitted profiles learned from.
//! - A setting is reported on prompts that it was not chosen on: [`parts`] says which.
//! - Strategies are those of [`routing`](crate::routing), deciding on asks; what is measured is what is served.
//! - The same files, router and settings give the same report, on any number of threads, but for times.
//!
//! To add a strategy: a family in [`families`]. To add a measure: a field of [`metrics::Metrics`], or a part of the report.

pub mod baselines;
pub mod bootstrap;
pub mod calibration;
pub mod choices;
mod clusters;
pub mod contenders;
pub mod coverage;
pub mod curve;
pub mod expected_cost;
pub mod families;
pub mod fit;
pub mod forecast;
pub mod metrics;
pub mod outcomes;
pub mod paraphrase;
pub mod parts;
pub mod plots;
pub mod predictions;

pub mod preference;
pub mod presets;
pub mod prices;
pub mod replay;
pub mod report;
pub mod speed;
pub mod stability;
pub mod svg;

use std::{collections::HashMap, time::Duration};

use self::{
    baselines::Lesson,
    bootstrap::Resamples,
    calibration::calibrations,
    choices::{Picks, picks},
    contenders::{Contender, lines, parts as preferences},
    coverage::coverage,
    curve::Curve,
    expected_cost::{ExpectedCost, Paid},
    families::{Family, NamedPolicy, families},
    fit::fit_profile,
    forecast::{Forecast, Scene, Subject},
    metrics::{Figure, Yardstick, arena},
    outcomes::{Outcomes, Row, input_tokens},
    parts::{Fit, Fold, Parts},
    predictions::{Prediction, predictions},
    prices::PriceTable,
    replay::Replay,
    report::{ProfileSource, SetReport, Single},
    stability::{Stability, stability},
};
use super::{
    LearningError, Progress,
    data::{Record, Set},
};
use crate::{
    domain::{Ask, Scores},
    scoring::profiles::Profiles,
};

/// Of the bootstrap and of baselines by chance; a table is the same each time it is made.
const SEED: u64 = 7;

/// Training prompts that strategies with a memory start from: as many as it holds.
const MOST_LESSON_ASKS: usize = 512;

/// How to measure.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Public names of the models to choose from; empty for those that ran on most prompts.
    pub only: Vec<String>,
    /// From where profiles of unknown models, and baselines, learn.
    pub fit: Fit,
    /// Prices in place of the sets' own.
    pub prices: Option<PriceTable>,
    /// Resamples of the bootstrap.
    pub rounds: usize,
    /// Whether to say every prompt in other words too, and look whether choices stay.
    pub paraphrases: bool,
    /// Policies to measure as they are, beside the strategies.
    pub policies: Vec<NamedPolicy>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { only: Vec::new(), fit: Fit::Own, prices: None, rounds: 1_000, paraphrases: false, policies: Vec::new() }
    }
}

/// What was found on one set.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// Its tables.
    pub report: SetReport,
    /// A line per prompt.
    pub predictions: Vec<Prediction>,
}

/// Measures a router on one set; `None` if fewer than two models ran on any prompt that the router did not see.
///
/// # Errors
/// The artifact's list of seen prompts is missing, the graph fails, or a model's name is none that the gateway takes.
pub fn evaluate(
    set: &Set,
    subject: &mut Subject<'_>,
    settings: &Settings,
    progress: &dyn Progress,
) -> Result<Option<Evaluated>, LearningError> {
    let seen = subject.artifact.seen()?;
    let parts = Parts::of(set, &seen, &settings.fit);
    let outcomes = Outcomes::of(&set.meta, &parts.asked, &settings.only, settings.prices.as_ref());
    let is_reported = outcomes.rows.iter().any(|row| row.fold != Fold::Tune);
    if !is_reported || outcomes.models.len() < 2 {
        return Ok(None);
    }
    progress.begin("scoring", (outcomes.rows.len() + parts.fit.len()) as u64);
    let mut scored = |prompt: &str| {
        progress.step();
        subject.score(prompt)
    };
    let scores: Result<Vec<Scores>, _> = outcomes.rows.iter().map(|row| scored(&row.prompt)).collect();
    let learned: Result<Vec<Learned<'_>>, _> =
        parts.fit.iter().map(|(set, record)| Learned::of(set, record, &mut scored)).collect();
    let (left_out, is_familiar) = (parts.left_out, parts.is_familiar);
    let case = Case { set, outcomes, learned: learned?, left_out, is_familiar };
    case.measure(scores?, subject, settings, progress).map(Some)
}

/// A training prompt with what the router says of it.
struct Learned<'a> {
    set: &'a Set,
    record: &'a Record,
    scores: Scores,
}

impl<'a> Learned<'a> {
    fn of(
        set: &'a Set,
        record: &'a Record,
        scored: &mut dyn FnMut(&str) -> Result<Scores, LearningError>,
    ) -> Result<Self, LearningError> {
        // The qualities of all profiles are the bulk of it, and nobody asks for them.
        let scores = Scores { quality: HashMap::new(), ..scored(&record.prompt)? };
        Ok(Self { set, record, scores })
    }

    fn score(&self, model: &str) -> Option<f64> {
        self.record.score.get(self.set.column(model)?).copied().flatten()
    }

    fn tokens(&self, model: &str) -> Option<f64> {
        self.record.out_tok.get(self.set.column(model)?).copied().flatten()
    }

    fn cost(&self, model: &str) -> Option<f64> {
        self.record.cost.get(self.set.column(model)?).copied().flatten()
    }
}

/// A set that is being measured.
struct Case<'a> {
    set: &'a Set,
    outcomes: Outcomes,
    learned: Vec<Learned<'a>>,
    left_out: usize,
    is_familiar: bool,
}

impl Case<'_> {
    fn measure(
        &self,
        scores: Vec<Scores>,
        subject: &mut Subject<'_>,
        settings: &Settings,
        progress: &dyn Progress,
    ) -> Result<Evaluated, LearningError> {
        let outcomes = &self.outcomes;
        let known = &subject.artifact.profiles;
        let evidence = subject.artifact.evidence.as_ref();
        let scene = Scene { fitted: self.fitted(known), costs: self.expected_costs(), evidence };
        let sources = self.sources(known, scene.fitted.as_ref());
        let forecast = Forecast::of(outcomes, scores, &scene)?;
        let mut families = families(&forecast.asks)?;
        families.extend(settings.policies.iter().map(Family::from));
        progress.begin("choosing", 1);
        let lessons = self.lesson_asks(known, &scene)?;
        let conformal = known.conformal.as_deref();
        let replay = Replay { asks: &forecast.asks, outcomes, lessons: &lessons, conformal };
        let contenders = Contender::all(&forecast, &replay, &families, &self.lessons());
        progress.step();
        progress.begin("bootstrap", 2);
        let resamples = Resamples::draw(&outcomes.reported(), settings.rounds, SEED);
        let lines = lines(&contenders, outcomes, &resamples);
        progress.step();
        let parts = preferences(&contenders, outcomes, &resamples);
        progress.step();
        let stability = match settings.paraphrases {
            true => self.stability((&families, &forecast), (subject, &scene), &resamples, progress)?,
            false => None,
        };
        let is_known: Vec<bool> = sources.iter().map(|source| *source == ProfileSource::Router).collect();
        let models = self.models(&sources);
        let report = SetReport {
            set: self.set.meta.name.clone(),
            prompts: outcomes.rows.iter().filter(|row| row.fold != Fold::Tune).count(),
            left_out: self.left_out,
            tuning: outcomes.rows.iter().filter(|row| row.fold == Fold::Tune).count(),
            lessons: self.learned.len(),
            has_costs: outcomes.has_costs,
            best_single: models.get(outcomes.best_single()).map_or_else(String::new, |single| single.model.clone()),
            models,
            hull_aiq: hull_aiq(outcomes, &contenders, &resamples),
            lines,
            parts,
            calibration: calibrations(&forecast.quality(), outcomes, &is_known),
            coverage: coverage(&forecast, outcomes, &is_known, known.conformal.as_deref()),
            outside: outside(&forecast),
            scoring_us: quantiles(&forecast.took),
            curves: curves(&contenders, outcomes),
            stability,
        };
        let shipped = shipped(&families, &forecast);
        let predictions = predictions(&self.set.meta.name, outcomes, &forecast, &contenders, &shipped);
        Ok(Evaluated { report, predictions })
    }

    /// Of the first strategy that the program ships a setting of.
    fn stability(
        &self,
        (families, forecast): (&[Family], &Forecast),
        (subject, scene): (&mut Subject<'_>, &Scene<'_>),
        resamples: &Resamples,
        progress: &dyn Progress,
    ) -> Result<Option<Stability>, LearningError> {
        let shipped = families.iter().find_map(|family| Some((family.name.as_str(), &**family.shipped.as_ref()?)));
        // No strategy of a shipped setting asks for it, and it takes longer than all else.
        let scene = Scene { evidence: None, ..scene.clone() };
        let of = |strategy| stability(strategy, (&self.outcomes, forecast), (subject, &scene), resamples, progress);
        shipped.map(of).transpose()
    }

    /// Fits profiles for the models that the router does not know and, on tests that it was not trained on, for all: the same
    /// model does not fare the same when it is asked and graded in another way. `None` if there are none to fit.
    fn fitted(&self, known: &Profiles) -> Option<Profiles> {
        let unknown = self.outcomes.models.iter().filter(|model| !self.is_familiar || !has_profile(known, &model.name));
        let profiles = unknown.filter_map(|model| {
            let graded = |learned: &'_ Learned<'_>| (learned.score(&model.name), learned.tokens(&model.name));
            let graded: Vec<fit::Graded<'_>> = self
                .learned
                .iter()
                .map(|learned| {
                    let (score, tokens) = graded(learned);
                    (&learned.scores, score, tokens)
                })
                .collect();
            fit_profile(model, &graded, known)
        });
        let profiles: Vec<_> = profiles.collect();
        (!profiles.is_empty()).then(|| Profiles { profiles, ..known.clone() })
    }

    fn sources(&self, known: &Profiles, fitted: Option<&Profiles>) -> Vec<ProfileSource> {
        let source = |name: &str| match fitted {
            Some(fitted) if has_profile(fitted, name) => ProfileSource::Fitted,
            _ if has_profile(known, name) => ProfileSource::Router,
            _ => ProfileSource::Prior,
        };
        self.outcomes.models.iter().map(|model| source(&model.name)).collect()
    }

    /// Of models without prices, from what their calls cost: on training prompts if there are any.
    fn expected_costs(&self) -> Vec<Option<ExpectedCost>> {
        let of = |(index, model): (usize, &outcomes::Model)| {
            if model.prices.is_some() || !self.outcomes.has_costs {
                return None;
            }
            let paid = |learned: &Learned<'_>| {
                let cost = learned.cost(&model.name)?;
                let output = learned.scores.length.median;
                Some(Paid { input: input_tokens(learned.record), output, cost })
            };
            let calls: Vec<Paid> = self.learned.iter().filter_map(paid).collect();
            ExpectedCost::fit(&calls).or_else(|| self.mean_cost(index))
        };
        self.outcomes.models.iter().enumerate().map(of).collect()
    }

    /// Without anything to learn from: the model's mean cost, the same for every prompt.
    fn mean_cost(&self, model: usize) -> Option<ExpectedCost> {
        let rows = self.outcomes.rows.iter();
        let calls = rows.filter_map(|row| Some(Paid { input: 0.0, output: 0.0, cost: *row.cost.get(model)? }));
        ExpectedCost::fit(&calls.collect::<Vec<_>>())
    }

    fn lessons(&self) -> Vec<Lesson> {
        let mut columns: HashMap<&str, Vec<Option<usize>>> = HashMap::new();
        let mut lessons = Vec::with_capacity(self.learned.len());
        for learned in &self.learned {
            let models = self.outcomes.models.iter();
            let columns = columns
                .entry(learned.set.meta.name.as_str())
                .or_insert_with(|| models.map(|model| learned.set.column(&model.name)).collect());
            lessons.push(Lesson::of(learned.record, columns, learned.scores.embedding.clone()));
        }
        lessons
    }

    /// Returns what strategies would have been asked about training prompts; a part of them where there are many.
    fn lesson_asks(&self, known: &Profiles, scene: &Scene<'_>) -> Result<Vec<Ask>, LearningError> {
        let step = self.learned.len().div_ceil(MOST_LESSON_ASKS).max(1);
        let taken: Vec<&Learned<'_>> = self.learned.iter().step_by(step).collect();
        let scores = taken.iter().map(|learned| {
            let (quality, prior) = known.qualities(&learned.scores.latent);
            Scores { quality, prior, ..learned.scores.clone() }
        });
        let rows = taken.iter().map(|learned| Row::unanswered(learned.record)).collect();
        let outcomes = Outcomes { models: self.outcomes.models.clone(), rows, has_costs: self.outcomes.has_costs };
        let scene = Scene { evidence: None, ..scene.clone() };
        Ok(Forecast::of(&outcomes, scores.collect(), &scene)?.asks)
    }

    fn models(&self, sources: &[ProfileSource]) -> Vec<Single> {
        let singles = self.outcomes.singles(&self.outcomes.reported());
        let single = |((model, source), (cost, quality)): ((&outcomes::Model, &ProfileSource), (f64, f64))| Single {
            model: model.name.clone(),
            profile: *source,
            prices: model.prices,
            cost: if self.outcomes.has_costs { cost } else { f64::NAN },
            quality,
            arena: if self.outcomes.has_costs { 100.0 * arena(quality, cost) } else { f64::NAN },
        };
        self.outcomes.models.iter().zip(sources).zip(singles).map(single).collect()
    }
}

fn has_profile(profiles: &Profiles, name: &str) -> bool {
    profiles.profiles.iter().any(|profile| &*profile.name == name)
}

fn hull_aiq(outcomes: &Outcomes, contenders: &[Contender], resamples: &Resamples) -> Figure {
    let oracle = contenders.last().and_then(|oracle| oracle.runs.first());
    let aiq = |weights: &[f32]| {
        let Some(oracle) = oracle.filter(|_| outcomes.has_costs) else { return f64::NAN };
        let yardstick = Yardstick::of(&outcomes.singles(weights), 0, &oracle.choices, weights);
        100.0 * yardstick.singles.mean_height(yardstick.range)
    };
    Figure::of(aiq(&outcomes.reported()), resamples.measure(aiq))
}

fn curves(contenders: &[Contender], outcomes: &Outcomes) -> Vec<(String, Vec<(f64, f64)>)> {
    let weights = outcomes.reported();
    let curve = |contender: &Contender| {
        let run = contender.runs.first()?;
        Some((contender.name.clone(), Curve::hull(run.choices.means(&weights)).points().to_vec()))
    };
    if outcomes.has_costs { contenders.iter().filter_map(curve).collect() } else { Vec::new() }
}

fn shipped<'a>(families: &'a [Family], forecast: &Forecast) -> Vec<(&'a str, Picks)> {
    let of = |family: &'a Family| Some((family.name.as_str(), picks(&**family.shipped.as_ref()?, &forecast.asks)));
    families.iter().filter_map(of).collect()
}

fn outside(forecast: &Forecast) -> f64 {
    let outside = forecast.asks.iter().filter(|ask| ask.signals.familiarity.is_outside).count();
    outside as f64 / forecast.asks.len().max(1) as f64
}

/// Returns the quantiles 0 %, 1 %, ... 100 % in microseconds.
fn quantiles(took: &[Duration]) -> Vec<f64> {
    let mut sorted: Vec<f64> = took.iter().map(|took| took.as_secs_f64() * 1e6).collect();
    sorted.sort_by(f64::total_cmp);
    let at = |percent: usize| sorted.get((sorted.len().saturating_sub(1)) * percent / 100).copied().unwrap_or(0.0);
    (0..=100).map(at).collect()
}
