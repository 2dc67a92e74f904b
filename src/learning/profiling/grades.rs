//! Grades from a file: (prompt, model, score), as JSON lines or CSV with a first line of names.
//!
//! `tokens` (of the answer) and `topic` are read where they are there; other fields are left alone. Every fault is told at once,
//! each with its line.

use std::{collections::BTreeSet, fs, io, path::Path};

use serde::Deserialize;

use super::Grade;
use crate::learning::data::{ModelMeta, Set};

/// Faults that are told one by one; of more, the number.
const TOLD: usize = 20;

/// Why a file of grades cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GradesError {
    /// It cannot be read.
    #[error("cannot read {file}")]
    Unreadable {
        /// Which.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It has faults.
    #[error("{}", told(file, faults))]
    Faults {
        /// The file.
        file: String,
        /// Line, counted from 1, and what is wrong there.
        faults: Vec<(usize, String)>,
    },
    /// None of its grades are of the model.
    #[error("{file} has no grades of {wanted}; it has grades of {}", found.join(", "))]
    OtherModels {
        /// The file.
        file: String,
        /// The model.
        wanted: String,
        /// Models found, at most twenty.
        found: Vec<String>,
    },
}

fn told(file: &str, faults: &[(usize, String)]) -> String {
    let mut lines: Vec<String> =
        faults.iter().take(TOLD).map(|(line, what)| format!("{file}, line {line}: {what}")).collect();
    if faults.len() > TOLD {
        lines.push(format!("and {} lines more", faults.len() - TOLD));
    }
    lines.join("\n")
}

#[derive(Deserialize)]
struct Row {
    prompt: String,
    model: String,
    score: f64,
    #[serde(default)]
    tokens: Option<f64>,
    #[serde(default)]
    topic: Option<String>,
}

impl Row {
    fn check(self) -> Result<Self, String> {
        if self.prompt.trim().is_empty() {
            return Err("the prompt is empty".to_owned());
        }
        if self.model.trim().is_empty() {
            return Err("the model is empty".to_owned());
        }
        if !(0.0..=1.0).contains(&self.score) {
            return Err(format!("score {} is not in [0, 1]", self.score));
        }
        if self.tokens.is_some_and(|tokens| !tokens.is_finite() || tokens < 0.0) {
            return Err("tokens must be a number that is not negative".to_owned());
        }
        Ok(self)
    }
}

/// Reads the grades of one model, which goes by any of `names`; also returns how many were of other models.
///
/// # Errors
/// The file is unreadable, has faults, or has no grade of the model.
pub fn read_grades(path: &Path, names: &[&str]) -> Result<(Vec<Grade>, usize), GradesError> {
    let file = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|source| GradesError::Unreadable { file: file.clone(), source })?;
    let is_csv = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("csv"));
    let (mut rows, mut faults) = (Vec::new(), Vec::new());
    for (line, row) in if is_csv { csv_rows(&text) } else { json_rows(&text) } {
        match row.and_then(Row::check) {
            Ok(row) => rows.push(row),
            Err(what) => faults.push((line, what)),
        }
    }
    if !faults.is_empty() || rows.is_empty() {
        faults.extend(rows.is_empty().then(|| (1, "there are no grades".to_owned())));
        return Err(GradesError::Faults { file, faults });
    }
    let models: BTreeSet<String> = rows.iter().map(|row| row.model.clone()).collect();
    let (own, others): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|row| names.contains(&row.model.as_str()));
    if own.is_empty() {
        let (wanted, found) = (names.join(" or "), models.into_iter().take(TOLD).collect());
        return Err(GradesError::OtherModels { file, wanted, found });
    }
    Ok((own.into_iter().map(grade).collect(), others.len()))
}

/// Returns the grades of one model in sets of the documented format; a record without a grade, or contaminated, is left out.
pub fn grades_of_sets(sets: &[Set], names: &[&str]) -> Vec<Grade> {
    let mut grades = Vec::new();
    for set in sets {
        let is_meant = |model: &ModelMeta| names.iter().any(|name| *name == model.id || *name == model.name());
        let Some(column) = set.meta.models.iter().position(is_meant) else { continue };
        for record in set.records.iter().filter(|record| !record.contaminated && !record.prompt.is_empty()) {
            let Some(Some(score)) = record.score.get(column) else { continue };
            let tokens = record.out_tok.get(column).copied().flatten();
            let topic = Some(record.task.as_str().into());
            grades.push(Grade { prompt: record.prompt.clone(), topic, score: *score, tokens });
        }
    }
    grades
}

fn grade(row: Row) -> Grade {
    Grade { prompt: row.prompt, topic: row.topic.map(Into::into), score: row.score, tokens: row.tokens }
}

type Rows = Vec<(usize, Result<Row, String>)>;

/// Splits on line feeds only: prompts may hold other characters that count as line ends.
fn json_rows(text: &str) -> Rows {
    let lines = text.split('\n').enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(index, line)| (index + 1, serde_json::from_str(line).map_err(|error| in_one_line(&error)))).collect()
}

/// The line is said already.
fn in_one_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(what, _)| what.to_owned())
}

fn csv_rows(text: &str) -> Rows {
    let mut records = csv_records(text).into_iter();
    let Some((_, names)) = records.next() else { return Vec::new() };
    let place = |name: &str| names.iter().position(|found| found.trim().eq_ignore_ascii_case(name));
    let missing: Vec<&str> = ["prompt", "model", "score"].into_iter().filter(|name| place(name).is_none()).collect();
    if !missing.is_empty() {
        let what = format!("the first line must name the columns; missing: {}", missing.join(", "));
        return vec![(1, Err(what))];
    }
    let places = ["prompt", "model", "score", "tokens", "topic"].map(place);
    records.map(|(line, fields)| (line, csv_row(&fields, names.len(), places))).collect()
}

fn csv_row(fields: &[String], width: usize, places: [Option<usize>; 5]) -> Result<Row, String> {
    if fields.len() != width {
        return Err(format!("{} fields, the first line has {width}", fields.len()));
    }
    let field =
        |place: Option<usize>| place.and_then(|place| fields.get(place)).map(String::as_str).unwrap_or_default();
    let [prompt, model, score, tokens, topic] = places.map(field);
    let number =
        |text: &str, name: &str| text.trim().parse::<f64>().map_err(|_| format!("{name} {text:?} is no number"));
    Ok(Row {
        prompt: prompt.to_owned(),
        model: model.trim().to_owned(),
        score: number(score, "score")?,
        tokens: if tokens.trim().is_empty() { None } else { Some(number(tokens, "tokens")?) },
        topic: Some(topic.trim().to_owned()).filter(|topic| !topic.is_empty()),
    })
}

/// Splits CSV as RFC 4180 says: fields in double quotes may hold commas, line ends and doubled quotes. Gives the line on which
/// each record begins.
fn csv_records(text: &str) -> Vec<(usize, Vec<String>)> {
    let (mut records, mut fields, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut line, mut begins, mut is_quoted) = (1, 1, false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        line += usize::from(character == '\n');
        match character {
            '"' if is_quoted && characters.next_if_eq(&'"').is_some() => field.push('"'),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(std::mem::take(&mut field)),
            '\r' if !is_quoted && characters.peek() == Some(&'\n') => {}
            '\n' if !is_quoted => {
                fields.push(std::mem::take(&mut field));
                records.push((begins, std::mem::take(&mut fields)));
                begins = line;
            }
            _ => field.push(character),
        }
    }
    if !field.is_empty() || !fields.is_empty() {
        fields.push(field);
        records.push((begins, fields));
    }
    records.retain(|(_, fields)| fields.iter().any(|field| !field.trim().is_empty()));
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<(Vec<Grade>, usize), GradesError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        read_grades(&path, &["mine", "owner/mine"])
    }

    #[test]
    fn json_lines_and_csv_say_the_same() {
        let json = "{\"prompt\": \"a, \\\"b\\\"\\nc\", \"model\": \"mine\", \"score\": 1, \"tokens\": 12, \"extra\": 0}\n\n\
                    {\"prompt\": \"d\", \"model\": \"other\", \"score\": 0.5}\n\
                    {\"prompt\": \"e\u{2028}f\", \"model\": \"owner/mine\", \"score\": 0, \"topic\": \"law\"}";
        let csv = "Score,prompt,model,tokens,topic\r\n1,\"a, \"\"b\"\"\nc\",mine,12,\r\n0.5,d,other,,\r\n0,e\u{2028}f,owner/mine,,law\r\n";

        let (from_json, from_csv) = (read("g.jsonl", json).unwrap(), read("g.csv", csv).unwrap());

        assert_eq!(from_json, from_csv);
        assert_eq!((from_json.0.len(), from_json.1), (2, 1));
        assert_eq!(from_json.0[0].prompt, "a, \"b\"\nc");
    }

    #[test]
    fn every_fault_is_told_with_its_line() {
        let json = "{\"prompt\": \"a\", \"model\": \"mine\", \"score\": 1}\n{\"prompt\": \"a\"}\nnot JSON\n\
                    {\"prompt\": \"a\", \"model\": \"mine\", \"score\": 1.5}\n{\"prompt\": \" \", \"model\": \"mine\", \"score\": 1}";

        let said = read("g.jsonl", json).unwrap_err().to_string();

        for expected in
            ["line 2: missing field `model`", "line 3: ", "line 4: score 1.5", "line 5: the prompt is empty"]
        {
            assert!(said.contains(expected), "{expected:?} is missing in\n{said}");
        }
        assert!(!said.contains("line 1:"), "{said}");
    }

    #[test]
    fn faults_of_csv_are_told_with_the_line_on_which_the_record_begins() {
        let said = read("g.csv", "prompt,model,score\n\"a\nb\",mine,1\nc,mine,good\nd,mine\n").unwrap_err().to_string();

        assert!(said.contains("line 4: score \"good\"") && said.contains("line 5: 2 fields"), "{said}");
        assert!(read("g.csv", "prompt,score\na,1\n").unwrap_err().to_string().contains("missing: model"));
    }

    #[test]
    fn a_file_without_grades_of_the_model_says_whose_it_has() {
        let error = read("g.jsonl", "{\"prompt\": \"a\", \"model\": \"other\", \"score\": 1}").unwrap_err();

        assert!(error.to_string().contains("has grades of other"), "{error}");
        assert!(read("g.jsonl", "\n").unwrap_err().to_string().contains("no grades"));
    }
}
