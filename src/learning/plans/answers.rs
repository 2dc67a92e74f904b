//! Recorded answers: who answered what, how well and at which cost, and what could be read off an answer.
#![expect(clippy::indexing_slicing, reason = "columns of records are checked against the models before")]

use std::path::Path;

use serde::Deserialize;

use crate::learning::{
    LearningError,
    data::{Meta, malformed, parse_record, read_meta, read_text, records_of, set_folders},
};

/// A line of `records.jsonl`, as far as plans need it. Arrays follow the models of `meta.json`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Line {
    /// Benchmark or category.
    pub task: String,
    /// Quality in `[0, 1]`.
    pub score: Vec<Option<f64>>,
    /// USD of each call.
    pub cost: Vec<Option<f64>>,
    /// Tokens of each answer.
    pub out_tok: Vec<Option<f64>>,
    /// Tokens of the prompt.
    pub in_tok: Option<f64>,
    /// One character per model: the chosen letter, `-` for no answer, `?` for not asked.
    pub pred: Option<String>,
    /// Equal numbers are equal answers; -1 is none.
    pub ans: Option<Vec<Option<i64>>>,
    /// Share of eight samples in which the first model finds its own answer right.
    pub self_verify: Option<f64>,
    /// Mean log-probability of the tokens of the first model's answer.
    pub avg_logp: Option<f64>,
    /// Mean entropy of them, in nats.
    pub avg_entropy: Option<f64>,
    /// Not to be used.
    pub contaminated: bool,
}

/// A set as it was recorded.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its description.
    pub meta: Meta,
    /// Its records.
    pub lines: Vec<Line>,
}

/// Reads every set of a folder, or the set that a folder is. Records without prompt text count too.
///
/// # Errors
/// There is no set, or one is malformed.
pub fn read(path: &Path) -> Result<Vec<Recorded>, LearningError> {
    set_folders(path)?.iter().map(|folder| read_one(folder)).collect()
}

fn read_one(folder: &Path) -> Result<Recorded, LearningError> {
    let (meta, path) = (read_meta(folder)?, records_of(folder));
    let mut lines = Vec::new();
    for (index, text) in read_text(&path)?.split(|byte| *byte == b'\n').enumerate() {
        if text.is_empty() {
            continue;
        }
        let line: Line = parse_record(text).map_err(|error| malformed(&path, index + 1, &error))?;
        check(&line, meta.models.len()).map_err(|message| malformed(&path, index + 1, &message))?;
        if !line.contaminated {
            lines.push(line);
        }
    }
    Ok(Recorded { meta, lines })
}

fn check(line: &Line, models: usize) -> Result<(), String> {
    let answers = line.pred.as_ref().map(|letters| letters.chars().count()).or(line.ans.as_ref().map(Vec::len));
    let lengths = [("score", Some(line.score.len())), ("pred or ans", answers)];
    if let Some((name, Some(length))) = lengths.into_iter().find(|(_, length)| length.is_some_and(|len| len != models))
    {
        return Err(format!("{length} entries of `{name}` for {models} models"));
    }
    for (name, values) in [("out_tok", &line.out_tok), ("cost", &line.cost)] {
        if !values.is_empty() && values.len() != models {
            return Err(format!("{} entries of `{name}` for {models} models", values.len()));
        }
    }
    let numbers = line.score.iter().chain(&line.cost).chain(&line.out_tok).flatten();
    match numbers.copied().find(|number| !(0.0..f64::INFINITY).contains(number)) {
        Some(bad) => Err(format!("{bad} is no score, cost or number of tokens")),
        None => Ok(()),
    }
}

/// One prompt that every model answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// By model; equal numbers are equal answers, `None` is no answer.
    pub answer: Vec<Option<i64>>,
    /// By model, in `[0, 1]`.
    pub score: Vec<f64>,
    /// By model, USD.
    pub cost: Vec<f64>,
    /// By model, tokens of the answer.
    pub tokens: Vec<f64>,
    /// Tokens of the prompt; 0 if unknown.
    pub input_tokens: f64,
    /// Number of its task.
    pub category: usize,
}

/// Complete rows of the models that are compared.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The set.
    pub name: String,
    /// Public names.
    pub models: Vec<String>,
    /// Names of categories, by number.
    pub categories: Vec<String>,
    /// One per prompt.
    pub rows: Vec<Row>,
}

/// A model that nobody asked for by name takes part if it answered this share of the prompts that have answers.
const COVERAGE: f64 = 0.95;

impl Answered {
    /// Takes the models and the prompts that all of them answered; `None` where no two did.
    pub fn of(set: &Recorded, only: &[String]) -> Option<Self> {
        let cells = |line: &Line| -> Vec<Option<Cell>> {
            (0..set.meta.models.len()).map(|column| Cell::of(&set.meta, line, column)).collect()
        };
        let mut categories: Vec<&str> = set.lines.iter().map(|line| line.task.as_str()).collect();
        categories.sort_unstable();
        categories.dedup();
        let table: Vec<(Vec<Option<Cell>>, &Line)> = set.lines.iter().map(|line| (cells(line), line)).collect();
        let useful: Vec<&(Vec<Option<Cell>>, &Line)> =
            table.iter().filter(|(cells, _)| cells.iter().flatten().count() > 1).collect();
        let mut columns: Vec<usize> = (0..set.meta.models.len()).collect();
        columns.retain(|column| {
            let asked = useful.iter().filter(|(cells, _)| cells[*column].is_some()).count() as f64;
            let is_named = only.contains(&set.meta.models[*column].name());
            asked > 0.0 && if only.is_empty() { asked >= COVERAGE * useful.len() as f64 } else { is_named }
        });
        let mut models: Vec<String> = Vec::new();
        columns.retain(|column| {
            let name = set.meta.models[*column].name();
            let is_new = !models.contains(&name);
            models.extend(is_new.then_some(name));
            is_new
        });
        let row = |(cells, line): &&(Vec<Option<Cell>>, &Line)| {
            let cells: Option<Vec<Cell>> = columns.iter().map(|column| cells[*column]).collect();
            let category = categories.partition_point(|known| *known < line.task.as_str());
            Some(Row { category, ..Row::of(&cells?, line.in_tok.unwrap_or(0.0)) })
        };
        let rows: Vec<Row> = useful.iter().filter_map(row).collect();
        let categories = categories.into_iter().map(str::to_owned).collect();
        (models.len() > 1 && !rows.is_empty()).then(|| Self { name: set.meta.name.clone(), models, categories, rows })
    }

    /// Returns a set for each category that has prompts.
    pub fn by_category(&self) -> Vec<Self> {
        let of = |(category, name): (usize, &String)| {
            let rows: Vec<Row> = self.rows.iter().filter(|row| row.category == category).cloned().collect();
            (!rows.is_empty()).then(|| Self { name: format!("{}/{name}", self.name), rows, ..self.clone() })
        };
        self.categories.iter().enumerate().filter_map(of).collect()
    }
}

/// What one model made of one prompt.
#[derive(Clone, Copy)]
struct Cell {
    answer: Option<i64>,
    score: f64,
    cost: f64,
    tokens: f64,
}

impl Cell {
    /// Returns `None` unless answer, score, cost and tokens are known.
    fn of(meta: &Meta, line: &Line, column: usize) -> Option<Self> {
        let answer = match (&line.pred, &line.ans) {
            (Some(letters), _) => letter(letters.chars().nth(column)?)?,
            (None, Some(ids)) => Some(ids[column]?).filter(|id| *id >= 0),
            (None, None) => return None,
        };
        let at = |values: &[Option<f64>]| values.get(column).copied().flatten();
        let (score, tokens) = (at(&line.score)?, at(&line.out_tok)?);
        let model = &meta.models[column];
        let listed = || {
            let prices = model.in_price.zip(model.out_price).zip(line.in_tok);
            prices.map(|((input, output), asked)| (input * asked + output * tokens) / 1e6)
        };
        Some(Self { answer, score, cost: at(&line.cost).or_else(listed)?, tokens })
    }
}

/// Returns the answer that a letter stands for; the outer `None` if the model was not asked.
fn letter(letter: char) -> Option<Option<i64>> {
    match letter {
        '?' => None,
        '-' => Some(None),
        letter => Some(Some(i64::from(u32::from(letter)))),
    }
}

impl Row {
    fn of(cells: &[Cell], input_tokens: f64) -> Self {
        Self {
            answer: cells.iter().map(|cell| cell.answer).collect(),
            score: cells.iter().map(|cell| cell.score).collect(),
            cost: cells.iter().map(|cell| cell.cost).collect(),
            tokens: cells.iter().map(|cell| cell.tokens).collect(),
            input_tokens,
            category: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn recorded(lines: &[serde_json::Value]) -> Recorded {
        let meta = json!({ "name": "s", "models": [{ "id": "a", "in_price": 1.0, "out_price": 2.0 }, { "id": "b" }, { "id": "c" }] });
        let lines = lines.iter().map(|line| serde_json::from_value(line.clone()).unwrap()).collect();
        Recorded { meta: serde_json::from_value(meta).unwrap(), lines }
    }

    #[test]
    fn letters_and_numbers_are_answers_and_who_was_not_asked_has_none() {
        let whole = json!({ "score": [1, 0, 1], "out_tok": [10, 20, 30], "cost": [null, 0.5, 0.25], "in_tok": 100, "pred": "A-A" });
        let numbered = json!({ "score": [1, 0, 0], "out_tok": [1, 1, 1], "cost": [0.1, 0.2, 0.3], "ans": [7, -1, 8] });
        let not_asked = json!({ "score": [1, null, 0], "out_tok": [1, 1, 1], "cost": [1, 1, 1], "pred": "A?B" });

        let set = Answered::of(&recorded(&[whole, numbered, not_asked]), &["a", "b", "c"].map(str::to_owned)).unwrap();

        assert_eq!(set.rows.len(), 2);
        assert_eq!(set.rows[0].answer, [Some(65), None, Some(65)]);
        // 100 tokens for a dollar a million and 10 for two.
        assert!((set.rows[0].cost[0] - 120e-6).abs() < 1e-12 && set.rows[0].cost[1] == 0.5);
        assert_eq!(set.rows[1].answer, [Some(7), None, Some(8)]);
    }

    #[test]
    fn a_model_that_answered_too_little_is_left_out_unless_it_is_named() {
        let both = json!({ "score": [1, 0, null], "out_tok": [1, 1, null], "cost": [1, 1, null], "ans": [1, 2, null] });
        let all = json!({ "score": [1, 0, 1], "out_tok": [1, 1, 1], "cost": [1, 1, 1], "ans": [1, 2, 1] });
        let set = recorded(&[both.clone(), both, all]);

        assert_eq!(Answered::of(&set, &[]).unwrap().models, ["a", "b"]);
        assert_eq!(Answered::of(&set, &["a", "c"].map(str::to_owned)).unwrap().rows.len(), 1);
    }

    #[test]
    fn arrays_of_another_length_and_impossible_numbers_are_told() {
        let line = |line: serde_json::Value| check(&serde_json::from_value(line).unwrap(), 2).unwrap_err();

        assert_eq!(line(json!({ "score": [1] })), "1 entries of `score` for 2 models");
        assert_eq!(line(json!({ "score": [1, 0], "pred": "ABC" })), "3 entries of `pred or ans` for 2 models");
        assert_eq!(line(json!({ "score": [1, 0], "cost": [-1, 0] })), "-1 is no score, cost or number of tokens");
    }
}
