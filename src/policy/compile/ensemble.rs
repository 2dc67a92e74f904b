//! From the document of an ensemble to the strategy.

use std::collections::BTreeSet;

use super::{
    Compiler,
    strategy::{Built, Scope, shared},
};
use crate::{
    config::path::Path,
    domain::{AnswerPattern, Choosing, Extractor, Leg, Member},
    policy::document::{ChooseDocument, EnsembleDocument, ExtractDocument, MemberDocument},
    routing::{EnsembleParameters, MAX_MEMBERS, Voting},
};

/// Temperature at which samples of one model differ enough to be worth comparing; usual for self-consistency.
const SAMPLING_TEMPERATURE: f64 = 0.7;

impl Compiler<'_, '_> {
    /// Returns `None` when a name or a number is at fault, which is then in the report.
    pub(super) fn ensemble(&mut self, document: &EnsembleDocument, scope: &Scope, at: &Path) -> Option<Built> {
        let members = self.members(document, scope, &at.key("members"));
        let extract = self.extractor(&document.extract, &at.key("extract"));
        let choose = self.choosing(&document.choose, scope, &at.key("choose"));
        let parameters = EnsembleParameters {
            constraints: scope.constraints.clone(),
            members: members?,
            extract: extract?,
            choose: choose?,
            patience_ms: document.patience.map(|period| u64::try_from(period.0.as_millis()).unwrap_or(u64::MAX)),
            max_fallbacks: scope.max_fallbacks,
        };
        Some(Voting::new(parameters).map(shared).map_err(|error| (error, at.clone())))
    }

    fn members(&mut self, document: &EnsembleDocument, scope: &Scope, at: &Path) -> Option<Vec<Member>> {
        let mut members = Some(Vec::new());
        let mut seen = BTreeSet::new();
        for (index, member) in document.members.iter().enumerate() {
            let at = at.index(index);
            let found = self.member(member, scope, &at);
            if found.iter().flatten().take(1).any(|member| !seen.insert(member.leg.model.clone())) {
                let help = "ask it several times with \"samples\"";
                self.report.add_with_help(
                    &at.key("model"),
                    format!("the model \"{}\" is a member already", member.model),
                    help,
                );
            }
            match (&mut members, found) {
                (Some(members), Some(found)) => members.extend(found),
                _ => members = None,
            }
        }
        let calls: usize = document.members.iter().map(|member| member.samples).sum();
        if !(2..=MAX_MEMBERS).contains(&calls) {
            let message = format!("an ensemble makes 2 to {MAX_MEMBERS} calls, not {calls}");
            self.report.add_with_help(at, message, "one call is the strategy \"fixed\"");
            return None;
        }
        members
    }

    /// Returns the calls of a member; `None` when it has faults, none when its model sleeps.
    fn member(&mut self, document: &MemberDocument, scope: &Scope, at: &Path) -> Option<Vec<Member>> {
        if !(document.weight.is_finite() && document.weight > 0.0) {
            let help = "leave the member out instead";
            self.report.add_with_help(&at.key("weight"), format!("a vote counts more than {}", document.weight), help);
            return None;
        }
        let model = self.chosen(&document.model, &scope.candidates, &at.key("model"))?;
        if !scope.candidates.contains(&model) {
            return Some(Vec::new());
        }
        let sampling = Some(SAMPLING_TEMPERATURE).filter(|_| document.samples > 1);
        let temperature = document.temperature.or(sampling);
        Some(vec![Member { leg: Leg { model }, weight: document.weight, temperature }; document.samples])
    }

    /// Returns what is read off answers.
    pub(super) fn extractor(&mut self, document: &ExtractDocument, at: &Path) -> Option<Extractor> {
        match document {
            ExtractDocument::Choice(_) => Some(Extractor::Choice),
            ExtractDocument::Number(_) => Some(Extractor::Number),
            ExtractDocument::Text(_) => Some(Extractor::Text),
            ExtractDocument::Json(json) => {
                if !json.field.is_empty() && !json.field.starts_with('/') {
                    let message = format!("\"{}\" is no JSON pointer", json.field);
                    self.report.add_with_help(&at.key("json").key("field"), message, "for instance \"/answer\"");
                    return None;
                }
                Some(Extractor::Json(json.field.clone()))
            }
            ExtractDocument::Regex(regex) => {
                let at = at.key("regex").key("pattern");
                let parsed =
                    AnswerPattern::parse(&regex.pattern).map_err(|error| self.report.add(&at, error.to_string()));
                parsed.ok().map(Extractor::Pattern)
            }
        }
    }

    fn choosing(&mut self, document: &ChooseDocument, scope: &Scope, at: &Path) -> Option<Choosing> {
        match document {
            ChooseDocument::Vote(_) => Some(Choosing::Vote),
            ChooseDocument::Consistency(_) => Some(Choosing::Consistency),
            ChooseDocument::Judge(judge) => {
                let model = self.chosen(&judge.model, &scope.candidates, &at.key("judge").key("model"))?;
                Some(Choosing::Judge { leg: Leg { model }, enough: judge.enough })
            }
        }
    }
}
