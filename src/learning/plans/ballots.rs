//! Prompts as a committee saw them: what each member answered, what was expected of it, and what came of it.
#![expect(clippy::indexing_slicing, reason = "numeric kernels: members are numbers of models of the set")]

use super::{
    answers::Row,
    priors::{Expected, Priors},
};
use crate::routing::agreement::{Answer, Heard, MOST_MEMBERS, MemberSet, Posterior, clamped_logit};

/// One prompt. Arrays follow the members of the committee.
#[derive(Clone, Debug, PartialEq)]
pub struct Ballot {
    /// What each member answered.
    pub answers: [Answer; MOST_MEMBERS],
    /// Logits of the predicted qualities.
    pub logits: [f64; MOST_MEMBERS],
    /// Expected USD.
    pub expected_cost: [f64; MOST_MEMBERS],
    /// Tokens of the answers.
    pub tokens: [f64; MOST_MEMBERS],
    /// Quality in `[0, 1]`.
    pub score: [f64; MOST_MEMBERS],
    /// USD.
    pub cost: [f64; MOST_MEMBERS],
}

impl Ballot {
    /// Returns the ballot of a row.
    pub fn of(row: &Row, expected: &Expected, committee: &[usize]) -> Self {
        let pick = |values: &[f64]| {
            let mut picked = [0.0; MOST_MEMBERS];
            picked.iter_mut().zip(committee).for_each(|(place, model)| *place = values[*model]);
            picked
        };
        let mut answers = [Answer::Unasked; MOST_MEMBERS];
        answers.iter_mut().zip(committee).for_each(|(place, model)| {
            *place = row.answer[*model].map_or(Answer::Silent, Answer::Said);
        });
        Self {
            answers,
            logits: pick(&expected.quality).map(clamped_logit),
            expected_cost: pick(&expected.cost),
            tokens: pick(&row.tokens),
            score: pick(&row.score),
            cost: pick(&row.cost),
        }
    }

    /// Returns the ballots of rows that the priors counted.
    pub fn of_counted(rows: &[&Row], priors: &Priors, committee: &[usize]) -> Vec<Self> {
        rows.iter().map(|row| Self::of(row, &priors.expect_without(row), committee)).collect()
    }

    /// Returns what would have been heard of a set of members.
    pub fn heard(&self, asked: MemberSet) -> Heard {
        asked.iter().fold(Heard::default(), |heard, member| self.hear(heard, member))
    }

    /// Returns this with what one more member said.
    pub fn hear(&self, heard: Heard, member: usize) -> Heard {
        heard.with(member, self.answers[member], Some(self.tokens[member]))
    }

    /// Returns the quality of an answer: the mean score of those who gave it, as graders may differ on equal answers.
    pub fn quality(&self, asked: MemberSet, answer: i64) -> f64 {
        let voters = || asked.iter().filter(|member| self.answers[*member] == Answer::Said(answer));
        voters().map(|member| self.score[member]).sum::<f64>() / voters().count().max(1) as f64
    }

    /// Returns the quality of the likeliest answer; when all were silent, that of the most promising member.
    pub fn given(&self, asked: MemberSet, posterior: &Posterior) -> f64 {
        let promising = || asked.iter().min_by(|a, b| self.logits[*b].total_cmp(&self.logits[*a]));
        match posterior.answers().first() {
            Some(answer) => self.quality(asked, answer.1),
            None => promising().map_or(0.0, |member| self.score[member]),
        }
    }
}
