//! A decision as others see it: JSON for machines, a table for people.
//!
//! The explain endpoint, the `pointsman` field of an answer and `pointsman route --format json` print exactly this JSON.
//! Fields are only ever added. Money is in US dollars, time in milliseconds, the seed is text because JSON numbers lose it.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::{
    Ask, Availability, Calibrated, Candidate, Decision, Estimate, Language, ModelName, NoRoute, Plan, Reason,
    Rejection, ScoresUnavailable, Signals, Tail, Terms, Topic,
};

/// Why this plan, or why none.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The policy that decided; `None` when the caller named a model.
    pub policy: Option<String>,
    /// Its version.
    pub policy_version: u64,
    /// Why; `None` when there is no plan.
    pub reason: Option<Reason>,
    /// Names of the policy's rules that held, the outermost first.
    pub rules: Vec<String>,
    /// What will be done; `None` when no candidate fits.
    pub plan: Option<Plan>,
    /// Why there is no plan.
    pub error: Option<Refused>,
    /// Why there are no scores; `None` when there are.
    pub unscored: Option<ScoresUnavailable>,
    /// Estimated tokens of the prompt.
    pub input_tokens: u64,
    /// The caller's wish between saving (0) and quality (1).
    pub quality_preference: Option<f64>,
    /// What else is known of the prompt.
    pub prompt: PromptRow,
    /// Numbers that the policy found in recent traffic, by name.
    pub calibrated: BTreeMap<String, Calibrated>,
    /// How many spreads below its prediction a quality counts, by the probability that this is to hold with.
    pub tails: Vec<Tail>,
    /// Probability with which the first model was drawn; `None` when there is no plan.
    pub propensity: Option<f64>,
    /// The source of all chance in the decision.
    pub seed: String,
    /// Every candidate once, best first, rejected ones last.
    pub candidates: Vec<Row>,
}

/// What is known of the prompt besides its length.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PromptRow {
    /// What it is about, the largest share first; empty without scores.
    pub topics: Vec<Topic>,
    /// Its language; `None` when nobody needed to know, or it could not be told.
    pub language: Option<Language>,
    /// Share of training prompts that lie at least as far out, `[0, 1]`.
    pub typicality: f64,
    /// Whether it lies outside of what the router knows.
    pub is_outside: bool,
}

impl PromptRow {
    fn of(signals: &Signals) -> Self {
        Self {
            topics: signals.topics.clone(),
            language: signals.language,
            typicality: signals.familiarity.typicality.value(),
            is_outside: signals.familiarity.is_outside,
        }
    }
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Name of the [`crate::error::Code`].
    pub code: &'static str,
    /// A sentence.
    pub message: String,
}

/// One candidate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The model.
    pub model: ModelName,
    /// Position among the plan's legs, from 0; `None` when it is not in the plan.
    pub leg: Option<usize>,
    /// Predicted quality, `[0, 1]`.
    pub quality: f64,
    /// Whether `quality` is a prior.
    pub is_prior: bool,
    /// Expected tokens of the answer.
    pub output_tokens: f64,
    /// Expected cost.
    pub cost_usd: f64,
    /// Cost of the longest answer allowed.
    pub cost_upper_usd: f64,
    /// Expected time to the last token.
    pub latency_ms: f64,
    /// Its share of the objective.
    pub terms: Option<Terms>,
    /// Whether it lies on the Pareto front of quality, cost and latency.
    pub is_on_front: bool,
    /// Whether it could be asked: `ready`, `loading`, `breaker_open`, `failed`.
    pub availability: &'static str,
    /// Why it could not be chosen.
    pub rejected: Option<Rejection>,
}

impl Explanation {
    /// Explains a decision that was made for `ask`.
    pub fn of(decision: &Decision, ask: &Ask) -> Self {
        let legs: Vec<_> = decision.plan.legs().map(|leg| &leg.model).collect();
        let candidates = decision.alternatives.iter().map(|alternative| Row {
            leg: legs.iter().position(|model| **model == alternative.model),
            terms: alternative.terms,
            is_on_front: alternative.is_on_front,
            rejected: alternative.rejected.clone(),
            ..Row::of(&alternative.model, &alternative.estimate, availability_of(&alternative.model, ask))
        });
        Self {
            policy: decision.policy.as_ref().map(ToString::to_string),
            policy_version: decision.policy_version,
            reason: Some(decision.reason),
            rules: decision.rules.clone(),
            plan: Some(decision.plan.clone()),
            propensity: Some(decision.propensity.value()),
            candidates: candidates.collect(),
            ..Self::asked(ask)
        }
    }

    /// Explains why there is no decision for `ask`.
    pub fn of_refusal(no_route: &NoRoute, ask: &Ask) -> Self {
        let why = |candidate: &Candidate| {
            let found = no_route.rejected.iter().find(|(model, _)| *model == candidate.model.name);
            found.map(|(_, why)| why.clone())
        };
        let candidates = ask.candidates.iter().map(|candidate| Row {
            rejected: why(candidate),
            ..Row::of(&candidate.model.name, &candidate.estimate, Some(&candidate.availability))
        });
        Self {
            error: Some(Refused { code: no_route.code().name(), message: no_route.to_string() }),
            candidates: candidates.collect(),
            ..Self::asked(ask)
        }
    }

    /// Returns the JSON text.
    ///
    /// # Errors
    /// Never for values that this room makes; serialisation can fail by its signature.
    pub fn to_json(&self) -> Result<Box<RawValue>, serde_json::Error> {
        serde_json::value::to_raw_value(self)
    }

    fn asked(ask: &Ask) -> Self {
        Self {
            policy: None,
            policy_version: 0,
            reason: None,
            rules: Vec::new(),
            plan: None,
            error: None,
            unscored: ask.unscored,
            input_tokens: ask.request.input_tokens.0,
            quality_preference: ask.preferences.quality.map(|quality| quality.value()),
            prompt: PromptRow::of(&ask.signals),
            calibrated: ask.signals.calibrated.clone(),
            tails: ask.signals.tails.clone(),
            propensity: None,
            seed: ask.seed.to_string(),
            candidates: Vec::new(),
        }
    }
}

impl Row {
    fn of(model: &ModelName, estimate: &Estimate, availability: Option<&Availability>) -> Self {
        Self {
            model: model.clone(),
            leg: None,
            quality: estimate.quality.value(),
            is_prior: estimate.is_prior,
            output_tokens: estimate.output_tokens,
            cost_usd: estimate.cost.dollars(),
            cost_upper_usd: estimate.cost_upper.dollars(),
            latency_ms: estimate.latency.as_secs_f64() * 1_000.0,
            terms: None,
            is_on_front: false,
            availability: availability.map_or("ready", Availability::name),
            rejected: None,
        }
    }

    fn cells(&self) -> [String; 8] {
        let prior = if self.is_prior { "~" } else { "" };
        [
            self.leg.map_or_else(String::new, |leg| (leg + 1).to_string()),
            self.model.to_string(),
            format!("{prior}{:.3}", self.quality),
            format!("${:.6}", self.cost_usd),
            format!("{:.0} ms", self.latency_ms),
            self.terms.map_or_else(|| "-".to_owned(), |terms| format!("{:.3}", terms.utility)),
            if self.is_on_front { "front".to_owned() } else { String::new() },
            self.rejected.as_ref().map_or_else(String::new, |why| why.message.clone()),
        ]
    }
}

fn availability_of<'a>(model: &ModelName, ask: &'a Ask) -> Option<&'a Availability> {
    ask.candidates.iter().find(|candidate| candidate.model.name == *model).map(|candidate| &candidate.availability)
}

const HEADINGS: [&str; 8] = ["leg", "model", "quality", "cost", "latency", "utility", "front", "rejected because"];

/// Names, marks and sentences stand left, figures stand right.
const IS_FIGURE: [bool; 8] = [true, false, true, true, true, true, false, false];

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_outcome(f)?;
        writeln!(f)?;
        write_table(f, &self.candidates)?;
        if self.candidates.iter().any(|row| row.is_prior) {
            writeln!(f, "\n~ quality is a prior: the router does not know this model, or there are no scores")?;
        }
        Ok(())
    }
}

impl Explanation {
    fn write_outcome(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(policy) = &self.policy {
            writeln!(f, "policy  {policy} (version {})", self.policy_version)?;
        }
        if let Some(plan) = &self.plan {
            writeln!(f, "plan    {}: {plan}", plan.kind().name())?;
        }
        if let Some(reason) = self.reason {
            writeln!(f, "reason  {}", reason.name())?;
        }
        if !self.rules.is_empty() {
            writeln!(f, "rule    {}", self.rules.join(", within it "))?;
        }
        self.write_prompt(f)?;
        if let Some(unscored) = self.unscored {
            writeln!(f, "scores  none: {unscored}")?;
        }
        match &self.error {
            Some(error) => writeln!(f, "no plan {}: {}", error.code, error.message),
            None => Ok(()),
        }
    }
}

impl Explanation {
    fn write_prompt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(topic) = self.prompt.topics.first() {
            writeln!(f, "topic   {} ({:.0} %)", topic.name, topic.share.value() * 100.0)?;
        }
        if let Some(language) = self.prompt.language {
            writeln!(f, "prompt  in the language {language}")?;
        }
        if self.prompt.is_outside {
            writeln!(f, "prompt  outside of what the router knows")?;
        }
        Ok(())
    }
}

fn write_table(f: &mut fmt::Formatter<'_>, rows: &[Row]) -> fmt::Result {
    let mut lines = vec![HEADINGS.map(str::to_owned)];
    lines.extend(rows.iter().map(Row::cells));
    let mut widths = [0; 8];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for line in &lines {
        let cells = line.iter().zip(widths).zip(IS_FIGURE);
        let padded: Vec<String> = cells.map(|((cell, width), is_figure)| pad(cell, width, is_figure)).collect();
        writeln!(f, "{}", padded.join("  ").trim_end())?;
    }
    Ok(())
}

fn pad(cell: &str, width: usize, is_figure: bool) -> String {
    if is_figure { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{NanoUsd, PolicyName, Probability},
        routing::{
            Constraints, Goals, QualityCost, QualityCostParameters, Strategy, Weight,
            samples::{ask, expected},
        },
    };

    fn strategy() -> QualityCost {
        QualityCost::new(QualityCostParameters {
            constraints: Constraints::default(),
            cost: Weight::fixed(0.125).into(),
            latency_weight: Weight::fixed(0.0),
            goals: Goals::default(),
            confidence: None,
            least_quality: None,
            default_model: None,
            max_fallbacks: 1,
        })
        .unwrap()
    }

    fn three() -> Ask {
        let mut ask = ask(vec![
            expected("strong", 0.875, 20_000_000, 8_000),
            expected("weak", 0.75, 1_000_000, 1_000),
            expected("dear", 0.5, 900_000_000, 4_000),
        ]);
        ask.preferences.max_cost = Some(NanoUsd::from_dollars(0.1));
        ask
    }

    fn explained() -> Explanation {
        let ask = three();
        let mut decision = strategy().decide(&ask).unwrap();
        decision.policy = Some(PolicyName::parse("default").unwrap());
        decision.policy_version = 3;
        Explanation::of(&decision, &ask)
    }

    #[test]
    fn people_see_a_table() {
        insta::assert_snapshot!(explained(), @r"
        policy  default (version 3)
        plan    single: weak, then strong
        reason  best_utility

        leg  model   quality       cost  latency  utility  front  rejected because
          1  weak      0.750  $0.001000  1000 ms    0.738  front
          2  strong    0.875  $0.020000  8000 ms    0.625  front
             dear      0.500  $0.900000  4000 ms        -         it may cost up to $3.6, above the request's limit of $0.1
        ");
    }

    #[test]
    fn machines_see_the_outcome_in_fixed_names() {
        let outcome = Explanation { candidates: Vec::new(), ..explained() };

        insta::assert_snapshot!(serde_json::to_string_pretty(&outcome).unwrap(), @r#"
        {
          "policy": "default",
          "policy_version": 3,
          "reason": "best_utility",
          "rules": [],
          "plan": {
            "kind": "single",
            "leg": {
              "model": "weak"
            },
            "fallbacks": [
              {
                "model": "strong"
              }
            ]
          },
          "error": null,
          "unscored": null,
          "input_tokens": 100,
          "quality_preference": null,
          "prompt": {
            "topics": [],
            "language": null,
            "typicality": 1.0,
            "is_outside": false
          },
          "calibrated": {},
          "tails": [],
          "propensity": 1.0,
          "seed": "7",
          "candidates": []
        }
        "#);
    }

    #[test]
    fn machines_see_each_candidate_in_fixed_names() {
        let mut candidates = explained().candidates;
        candidates.remove(1);

        insta::assert_snapshot!(serde_json::to_string_pretty(&candidates).unwrap(), @r#"
        [
          {
            "model": "weak",
            "leg": 0,
            "quality": 0.75,
            "is_prior": false,
            "output_tokens": 250.0,
            "cost_usd": 0.001,
            "cost_upper_usd": 0.004,
            "latency_ms": 1000.0,
            "terms": {
              "quality": 0.75,
              "cost": -0.0125,
              "latency": 0.0,
              "goals": 0.0,
              "utility": 0.7375
            },
            "is_on_front": true,
            "availability": "ready",
            "rejected": null
          },
          {
            "model": "dear",
            "leg": null,
            "quality": 0.5,
            "is_prior": false,
            "output_tokens": 250.0,
            "cost_usd": 0.9,
            "cost_upper_usd": 3.6,
            "latency_ms": 4000.0,
            "terms": null,
            "is_on_front": false,
            "availability": "ready",
            "rejected": {
              "code": "max_cost",
              "message": "it may cost up to $3.6, above the request's limit of $0.1"
            }
          }
        ]
        "#);
    }

    #[test]
    fn people_see_what_the_prompt_is_and_which_rules_held() {
        let mut ask = three();
        ask.signals.topics = vec![Topic { name: "law".into(), share: Probability::clamped(0.62) }];
        ask.signals.language = Language::parse("de").ok();
        ask.signals.familiarity.is_outside = true;
        let mut decision = strategy().decide(&ask).unwrap();
        decision.rules = vec!["contracts".to_owned(), "large ones".to_owned()];

        let explained = Explanation { candidates: Vec::new(), ..Explanation::of(&decision, &ask) }.to_string();

        let outcome: Vec<&str> = explained.lines().take_while(|line| !line.is_empty()).collect();
        insta::assert_snapshot!(outcome.join("\n"), @r"
        plan    single: weak, then strong
        reason  best_utility
        rule    contracts, within it large ones
        topic   law (62 %)
        prompt  in the language de
        prompt  outside of what the router knows
        ");
    }

    #[test]
    fn a_refusal_names_every_candidate() {
        let mut ask = three();
        ask.preferences.max_cost = Some(NanoUsd(1));
        let no_route = strategy().decide(&ask).unwrap_err();

        let explanation = Explanation::of_refusal(&no_route, &ask);

        assert_eq!(explanation.error.as_ref().unwrap().code, "no_route");
        assert!(explanation.candidates.iter().all(|row| row.rejected.is_some()));
        assert_eq!(explanation.candidates.len(), 3);
        assert!(explanation.to_json().unwrap().get().starts_with('{'));
    }
}
