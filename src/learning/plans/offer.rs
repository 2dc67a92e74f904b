//! A fitted model for use, with what may be expected of it: quality and cost by weight of a dollar, and the weight that keeps a
//! promise.

use std::collections::BTreeMap;

use super::{
    answers::{Answered, Row},
    channels::effective,
    committee::{rates, settings},
    contest::{agree::Agree, play},
    fitting::fit,
    promise::{Promise, setting},
    trial::{Points, best, singles},
};
use crate::{
    learning::{LearningError, encoder::stage_rng, evaluate::choices::mean},
    routing::agreement::AgreementDocument,
};

/// Of the division into folds and of the order in which losses are looked at; an offer is the same each time it is made.
const SEED: u64 = 1;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Names in the gateway by public name in the set; who is not named keeps that name.
    pub names: BTreeMap<String, String>,
    /// The model that a promise is against, by public name; `None` for the best single one.
    pub against: Option<String>,
    /// What is promised.
    pub promise: Promise,
}

/// A model with its expectations. Qualities and costs are of prompts that had no part in the fit.
#[derive(Clone, Debug)]
pub struct Offer {
    /// What is written to a file.
    pub document: AgreementDocument,
    /// Prompts that it was fitted on.
    pub prompts: usize,
    /// Independent voices on the committee (K*).
    pub channels: f64,
    /// The model that it is compared with: name, USD a prompt, quality.
    pub reference: (String, f64, f64),
    /// By weight of a dollar: USD a prompt, quality.
    pub settings: Vec<(f64, f64, f64)>,
    /// Number of the setting that keeps the promise; `None` where none can be shown to.
    pub promised: Option<usize>,
}

impl Offer {
    /// Fits a set, and measures the fit on folds of it.
    ///
    /// # Errors
    /// The reference is no model of the set, or names are not ones.
    pub fn of(set: &Answered, wanted: &Wanted) -> Result<Self, LearningError> {
        let rows: Vec<&Row> = set.rows.iter().collect();
        let single = singles(&rows);
        let reference = match &wanted.against {
            None => best(&single),
            Some(name) => set.models.iter().position(|model| model == name).ok_or_else(|| {
                let message = format!("no model \"{name}\" in {}; there are: {}", set.name, set.models.join(", "));
                LearningError::Plans { message }
            })?,
        };
        let names: Vec<String> =
            set.models.iter().map(|model| wanted.names.get(model).unwrap_or(model).clone()).collect();
        let unusable = |error: &dyn std::fmt::Display| LearningError::Plans { message: error.to_string() };
        let fitted = fit(&names, &rows, &set.name).map_err(|error| unusable(&error))?;
        let played = play(set, Agree::fit, SEED).ok_or_else(|| unusable(&"too few prompts to divide into folds"))?;
        let at = |values: &[f64]| values.get(reference).copied().unwrap_or(0.0) as f32;
        let points: Points = set.rows.iter().map(|row| (at(&row.cost), at(&row.score))).collect();
        let everyone = vec![1.0; rows.len()];
        let weights = settings(&rates(&rows));
        let measured = weights.iter().zip(&played.points).map(|(weight, points)| {
            let (cost, quality) = mean(points, &everyone);
            (*weight, cost, quality)
        });
        let (cost, quality) = mean(&points, &everyone);
        Ok(Self {
            prompts: rows.len(),
            channels: effective(&rows, &fitted.committee),
            reference: (set.models.get(reference).cloned().unwrap_or_default(), cost, quality),
            settings: measured.collect(),
            promised: setting(&played.points, &points, &shuffled(rows.len()), wanted.promise),
            document: fitted.document,
        })
    }

    /// Writes what is expected, for people.
    pub fn markdown(&self, promise: Promise) -> String {
        let members: Vec<String> = self.document.members.iter().map(|member| member.model.clone()).collect();
        let (reference, cost, quality) = &self.reference;
        let mut text = format!(
            "{} prompts; {} members with {:.1} voices (K*): {}.\nExpected on prompts like these, beside {reference} ({:.1} % right, \
             {:.3} USD per thousand prompts):\n\n| USD that a right answer is worth | quality, % of {reference}'s | cost, % |\n|---|---|---|\n",
            self.prompts,
            members.len(),
            self.channels,
            members.join(", "),
            100.0 * quality,
            1e3 * cost,
        );
        for (weight, own_cost, own_quality) in &self.settings {
            let worth = if *weight > 0.0 { format!("{:.6}", 1.0 / weight) } else { "any price".to_owned() };
            let relative = (100.0 * (own_quality / quality - 1.0), 100.0 * own_cost / cost);
            text += &format!("| {worth} | {:+.1} | {:.1} |\n", relative.0, relative.1);
        }
        let terms = format!(
            "at most {:.3} of quality lost with {:.0} % confidence",
            promise.quality_loss,
            100.0 * promise.confidence
        );
        text += &match self.promised.and_then(|place| self.settings.get(place)) {
            Some((weight, own_cost, _)) if *weight > 0.0 => format!(
                "\nPromise ({terms}): kept when a right answer is worth {:.6} USD, at {:.1} % of the cost.\n",
                1.0 / weight,
                100.0 * own_cost / cost
            ),
            Some(_) => format!("\nPromise ({terms}): kept only without regard for cost.\n"),
            None => format!(
                "\nPromise ({terms}): these prompts are too few or the members too weak to show that it is kept.\n"
            ),
        };
        text
    }
}

fn shuffled(count: usize) -> Vec<usize> {
    use rand::seq::SliceRandom;
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut stage_rng(SEED, 13));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learning::plans::{promise::PROMISE, trial::tests::made_up};

    fn wanted(against: Option<&str>) -> Wanted {
        let names = BTreeMap::from([("dear".to_owned(), "openai/dear".to_owned())]);
        Wanted { names, against: against.map(str::to_owned), promise: PROMISE }
    }

    #[test]
    fn an_offer_says_what_a_promise_costs_and_names_models_as_the_gateway_does() {
        let offer = Offer::of(&made_up(3_000), &wanted(None)).unwrap();

        assert_eq!(offer.reference.0, "dear");
        assert_eq!(offer.document.members[0].model, "openai/dear");
        let (_, cost, quality) = offer.settings[offer.promised.unwrap()];
        assert!(cost < 0.4 && quality > 0.98, "{cost} {quality}");
        assert!(offer.markdown(PROMISE).contains("kept when a right answer is worth"), "{}", offer.markdown(PROMISE));
    }

    #[test]
    fn few_prompts_promise_nothing_and_unknown_models_are_told() {
        let few = Offer::of(&made_up(60), &wanted(None)).unwrap();
        let unknown = Offer::of(&made_up(60), &wanted(Some("c"))).unwrap_err().to_string();

        assert!(few.promised.is_none() && few.markdown(PROMISE).contains("too few"));
        assert!(unknown.contains("no model \"c\" in made up; there are: a, b, echo, dear"), "{unknown}");
    }
}
