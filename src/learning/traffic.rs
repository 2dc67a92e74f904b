//! The gateway's own traffic as a set: recorded prompts, who answered, what callers thought of it.

use std::{
    collections::{BTreeMap, HashMap},
    io::Write,
    path::Path,
};

use serde::Serialize;

use super::{
    LearningError,
    data::{Meta, ModelMeta, OWN_TRAFFIC, Record, Set, Split, is_lent},
    off_policy::Logged,
};
use crate::{
    accounting::{LedgerReader, Recorded},
    domain::{ModelFacts, ModelName, Probability},
    scoring::artifact::prompt_hash,
};

/// The name of the set.
const NAME: &str = "traffic";
/// The category of prompts of which no topic is known.
const ANY: &str = "any";

/// Recorded traffic: one record for each different prompt, and each decision behind it.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// The prompts with the mean grade, cost and length of each model that answered them; `None` where none did, or nobody
    /// graded.
    pub set: Set,
    /// The graded decisions of each record, for estimates of other policies.
    pub logged: Vec<Vec<Logged>>,
    /// What the answer should have been, as callers said it last.
    pub corrections: Vec<Option<String>>,
}

/// Reads what a ledger holds of recorded traffic, oldest first; prompts without a grade only if `with_ungraded`.
///
/// # Errors
/// The ledger cannot be read.
pub fn read_traffic(reader: &LedgerReader, with_ungraded: bool) -> Result<Traffic, LearningError> {
    let mut gathered = Gathered::default();
    reader.recorded(|recorded| {
        if with_ungraded || recorded.score.is_some() {
            gathered.add(recorded);
        }
    })?;
    Ok(gathered.traffic())
}

/// Writes `meta.json` and `records.jsonl` into a folder, which is made if it is missing.
///
/// # Errors
/// The folder or a file in it cannot be written.
pub fn write_traffic(traffic: &Traffic, out: &Path) -> Result<(), LearningError> {
    #[derive(Serialize)]
    struct Line<'a> {
        #[serde(flatten)]
        record: &'a Record,
        decisions: &'a [Logged],
        #[serde(skip_serializing_if = "Option::is_none")]
        corrected_answer: Option<&'a str>,
    }

    let refuse = |source| LearningError::Unwritable { path: out.to_owned(), source };
    std::fs::create_dir_all(out).map_err(refuse)?;
    let meta = serde_json::to_vec_pretty(&traffic.set.meta).map_err(|error| refuse(error.into()))?;
    std::fs::write(out.join("meta.json"), meta).map_err(refuse)?;
    let mut lines = std::io::BufWriter::new(std::fs::File::create(out.join("records.jsonl")).map_err(refuse)?);
    let rows = traffic.set.records.iter().zip(&traffic.logged).zip(&traffic.corrections);
    for ((record, decisions), correction) in rows {
        let line = Line { record, decisions, corrected_answer: correction.as_deref() };
        serde_json::to_writer(&mut lines, &line).map_err(|error| refuse(error.into()))?;
        lines.write_all(b"\n").map_err(refuse)?;
    }
    lines.flush().map_err(refuse)
}

/// What has been read so far.
#[derive(Default)]
struct Gathered {
    models: BTreeMap<String, ModelMeta>,
    prompts: Vec<Prompt>,
    places: HashMap<String, usize>,
}

#[derive(Default)]
struct Prompt {
    id: String,
    text: String,
    task: String,
    input_tokens: f64,
    answers: BTreeMap<String, Answers>,
    logged: Vec<Logged>,
    correction: Option<String>,
}

/// The answers of one model to one prompt.
#[derive(Default)]
struct Answers {
    scores: Vec<f64>,
    tokens: Vec<f64>,
    costs: Vec<f64>,
}

impl Gathered {
    fn add(&mut self, recorded: Recorded) {
        let Recorded { prompt: text, record, score, correction } = recorded;
        let (Some(ask), Some(model)) = (&record.ask, &record.answered_by) else { return };
        let known = |name: &ModelName| ask.candidates.iter().find(|candidate| candidate.model.name == *name);
        let Some(answered) = known(model) else { return };
        for candidate in &ask.candidates {
            let column = column(&candidate.model);
            self.models.entry(column.clone()).or_insert_with(|| meta(column, &candidate.model));
        }
        let place = *self.places.entry(text.clone()).or_insert(self.prompts.len());
        if place == self.prompts.len() {
            let task = ask.signals.topics.first().map_or(ANY.to_owned(), |topic| topic.name.to_string());
            let input_tokens = ask.request.input_tokens.0 as f64;
            let id = record.decision.to_string();
            self.prompts.push(Prompt { id, text, task, input_tokens, ..Prompt::default() });
        }
        let Some(prompt) = self.prompts.get_mut(place) else { return };
        let answers = prompt.answers.entry(column(&answered.model)).or_default();
        answers.scores.extend(score);
        if let Some(attempt) = record.attempts.iter().rfind(|attempt| attempt.model == *model) {
            answers.tokens.push(attempt.usage.output.0 as f64);
            answers.costs.push(attempt.cost.dollars());
        }
        prompt.correction = correction.or(prompt.correction.take());
        let first = record.plan.as_ref().and_then(|plan| plan.legs().next()).map(|leg| &leg.model);
        if let (Some(score), true) = (score, first == Some(model)) {
            let predicted =
                |candidate: &crate::domain::Candidate| (column(&candidate.model), candidate.estimate.quality.value());
            prompt.logged.push(Logged {
                model: column(&answered.model),
                propensity: record.propensity,
                score: Probability::clamped(score),
                predicted: ask.candidates.iter().map(predicted).collect(),
            });
        }
    }

    fn traffic(self) -> Traffic {
        let columns: Vec<&String> = self.models.keys().collect();
        let mut traffic = Traffic {
            set: Set {
                meta: Meta {
                    name: NAME.to_owned(),
                    license: OWN_TRAFFIC.to_owned(),
                    models: self.models.values().cloned().collect(),
                },
                records: Vec::new(),
            },
            logged: Vec::new(),
            corrections: Vec::new(),
        };
        for prompt in self.prompts {
            traffic.set.records.push(prompt.record(&columns));
            traffic.logged.push(prompt.logged);
            traffic.corrections.push(prompt.correction);
        }
        traffic
    }
}

impl Prompt {
    fn record(&self, columns: &[&String]) -> Record {
        let of = |values: fn(&Answers) -> &Vec<f64>| -> Vec<Option<f64>> {
            columns.iter().map(|column| self.answers.get(*column).and_then(|answers| mean(values(answers)))).collect()
        };
        Record {
            id: self.id.clone(),
            task: self.task.clone(),
            sub: None,
            prompt: self.text.clone(),
            split: Some(if is_lent(prompt_hash(&self.text)) { Split::Val } else { Split::Train }),
            score: of(|answers| &answers.scores),
            out_tok: of(|answers| &answers.tokens),
            in_tok: Some(self.input_tokens),
            cost: of(|answers| &answers.costs),
            contaminated: false,
        }
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Returns the public name of a model: of its profile, if it has one.
fn column(facts: &ModelFacts) -> String {
    facts.profile.as_ref().map_or_else(|| facts.name.to_string(), ToString::to_string)
}

fn meta(id: String, facts: &ModelFacts) -> ModelMeta {
    ModelMeta {
        id,
        in_price: Some(facts.prices.input.dollars()),
        out_price: Some(facts.prices.output.dollars()),
        params_b: facts.parameters_b,
    }
}
