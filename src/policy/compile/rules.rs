//! From the document of rules to rules around a strategy.

use std::{collections::BTreeSet, fmt::Display, sync::Arc};

use jiff::{civil::Weekday, tz::TimeZone};

use super::{Compiler, constraints, strategy::Scope};
use crate::{
    config::path::Path,
    domain::{ModelName, Probability, TOPICS},
    policy::document::{
        CandidatesDocument, ConditionDocument, ConstraintsDocument, OutsideDocument, RuleDocument, SpanDocument,
        StrategyDocument, TimeDocument, WeekdayDocument,
    },
    routing::{
        Condition, Constraints, Fixed, FixedParameters, Outside, OutsideRule, Pattern, PatternError, Rule, Rules, Span,
        Strategy, Window,
    },
};

/// The strategy that rules stand before, with its place: the policy's, or a rule's own.
pub(super) struct Last<'d> {
    pub(super) document: &'d StrategyDocument,
    pub(super) at: Path,
}

impl Compiler<'_, '_> {
    /// Returns the strategy with its rules before it, and with what is done outside of what the router knows.
    pub(super) fn ruled(
        &mut self,
        rules: &[RuleDocument],
        last: &Last<'_>,
        scope: &Scope,
        at: &Path,
    ) -> Option<Arc<dyn Strategy>> {
        let otherwise = self.last(last, scope);
        if rules.is_empty() {
            return otherwise;
        }
        let mut compiled = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            let name = rule.name.clone().unwrap_or_else(|| format!("rule {}", index + 1));
            compiled.extend(self.rule((name, rule), last, scope, &at.index(index)));
        }
        Some(Arc::new(Rules::new(compiled, otherwise?)))
    }

    fn last(&mut self, last: &Last<'_>, scope: &Scope) -> Option<Arc<dyn Strategy>> {
        let strategy = self.strategy(last.document, scope, &last.at)?;
        let rule = match &self.document.outside {
            OutsideDocument::Ignore => return Some(strategy),
            OutsideDocument::DomainPrior => OutsideRule::DomainPrior,
            OutsideDocument::Safe(model) => {
                let at = Path::root().key("outside").key("safe");
                // The policy's candidates, not those that a rule leaves: of those the constraints see to it.
                let all = self.candidates();
                OutsideRule::Safe(fixed(self.chosen(model, &all, &at)?, scope))
            }
        };
        Some(Arc::new(Outside::new(strategy, rule)))
    }

    fn rule(
        &mut self,
        (name, rule): (String, &RuleDocument),
        last: &Last<'_>,
        scope: &Scope,
        at: &Path,
    ) -> Option<Rule> {
        self.check_rule(rule, at);
        let when = self.condition(&rule.when, &at.key("when"));
        let inner = self.narrowed((&name, rule), scope, at);
        let then: Option<Arc<dyn Strategy>> = match (&rule.model, &rule.strategy) {
            (Some(model), _) => {
                let model = self.chosen(model, &inner.candidates, &at.key("model"));
                model.map(|model| Arc::new(fixed(model, &inner)) as Arc<dyn Strategy>)
            }
            (None, Some(own)) => {
                let last = Last { document: own, at: at.key("strategy") };
                self.ruled(&rule.rules, &last, &inner, &at.key("rules"))
            }
            // The policy's strategy may name any of the policy's candidates; the constraints keep out what the rule does.
            (None, None) => {
                let wide = Scope { candidates: scope.candidates.clone(), ..inner };
                self.ruled(&rule.rules, last, &wide, &at.key("rules"))
            }
        };
        Some(Rule { name, when, then: then?, is_choice: rule.model.is_some() })
    }

    fn check_rule(&mut self, rule: &RuleDocument, at: &Path) {
        if rule.when == ConditionDocument::default() {
            let message = "a rule without a condition holds for every request, and none after it is ever looked at";
            self.report.add_with_help(
                &at.key("when"),
                message,
                "what holds for every request is the policy's strategy",
            );
        }
        let is_choice = rule.model.is_some();
        if is_choice && (rule.strategy.is_some() || !rule.rules.is_empty()) {
            self.report
                .add(&at.key("model"), "a rule that names the model leaves nothing to a strategy or to further rules");
        }
        let changes_nothing = rule.candidates.is_none()
            && rule.constraints == ConstraintsDocument::default()
            && rule.strategy.is_none()
            && rule.rules.is_empty();
        if !is_choice && changes_nothing {
            let message = "a rule needs one of model, candidates, constraints, strategy and rules";
            self.report.add(at, message);
        }
    }

    /// Returns what a rule leaves of what stands around it.
    fn narrowed(&mut self, (name, rule): (&str, &RuleDocument), scope: &Scope, at: &Path) -> Scope {
        let mut constraints = scope.constraints.clone().and(&constraints(&rule.constraints));
        let Some(CandidatesDocument::These(selectors)) = &rule.candidates else {
            return Scope { constraints, ..scope.clone() };
        };
        let at = at.key("candidates");
        let mut candidates: Vec<ModelName> = Vec::new();
        for (index, selector) in selectors.iter().enumerate() {
            let at = at.index(index);
            for model in self.selected(selector, &at) {
                if !scope.candidates.contains(&model) {
                    self.report.add(&at, format!("the model \"{model}\" is not among the policy's candidates"));
                } else if !candidates.contains(&model) {
                    candidates.push(model);
                }
            }
        }
        constraints.rules.push((name.to_owned(), candidates.iter().cloned().collect()));
        Scope { candidates, constraints, ..scope.clone() }
    }

    fn condition(&mut self, document: &ConditionDocument, at: &Path) -> Condition {
        for name in document.topics.keys().filter(|name| !TOPICS.contains(&name.as_str())) {
            self.report.add_unknown(&at.key("topics").key(name), "topic", name, TOPICS.into_iter());
        }
        let keywords = Some(&document.keywords).filter(|words| !words.is_empty());
        let keywords = keywords.map(|words| self.pattern(Pattern::keywords(words), &at.key("keywords")));
        let regex = document.regex.as_ref().map(|regex| self.pattern(Pattern::regex(regex), &at.key("regex")));
        let time = document.time.as_ref().map(|time| self.window(time, &at.key("time")));
        Condition {
            topics: document.topics.iter().map(|(name, part)| (name.clone(), Probability::clamped(part.0))).collect(),
            languages: document.languages.iter().copied().collect(),
            tokens: self.span(document.tokens, &at.key("tokens")),
            characters: self.span(document.characters, &at.key("characters")),
            tags: document.tags.iter().cloned().collect(),
            keys: self.names(&document.keys, &at.key("keys")),
            tenants: self.names(&document.tenants, &at.key("tenants")),
            keywords: keywords.flatten(),
            regex: regex.flatten(),
            time: time.flatten(),
        }
    }

    fn pattern(&mut self, pattern: Result<Pattern, PatternError>, at: &Path) -> Option<Pattern> {
        pattern.map_err(|error| self.report.add(at, error.to_string())).ok()
    }

    fn span(&mut self, SpanDocument { min, max }: SpanDocument, at: &Path) -> Span {
        if min.zip(max).is_some_and(|(min, max)| min > max) {
            self.report.add(at, "the range is empty: min is above max");
        }
        Span { min, max }
    }

    fn names<T>(&mut self, texts: &[String], at: &Path) -> BTreeSet<T>
    where
        T: TryFrom<String, Error: Display> + Ord,
    {
        let mut names = BTreeSet::new();
        for (index, text) in texts.iter().enumerate() {
            match T::try_from(text.clone()) {
                Ok(name) => drop(names.insert(name)),
                Err(error) => self.report.add(&at.index(index), error.to_string()),
            }
        }
        names
    }

    fn window(&mut self, document: &TimeDocument, at: &Path) -> Option<Window> {
        let Ok(zone) = TimeZone::get(&document.zone) else {
            let message = format!("unknown time zone \"{}\"", document.zone);
            self.report.add_with_help(&at.key("zone"), message, "for instance \"Europe/Berlin\", or \"UTC\"");
            return None;
        };
        let weekdays = document.weekdays.iter().copied().map(weekday).collect();
        let window = Window::new(document.hours.as_ref().map(|hours| hours.0.as_str()), weekdays, zone);
        window.map_err(|error| self.report.add(&at.key("hours"), error.to_string())).ok()
    }
}

fn fixed(model: ModelName, scope: &Scope) -> Fixed {
    let constraints: Constraints = scope.constraints.clone();
    Fixed::new(FixedParameters { model, constraints, max_fallbacks: scope.max_fallbacks })
}

const fn weekday(document: WeekdayDocument) -> Weekday {
    match document {
        WeekdayDocument::Monday => Weekday::Monday,
        WeekdayDocument::Tuesday => Weekday::Tuesday,
        WeekdayDocument::Wednesday => Weekday::Wednesday,
        WeekdayDocument::Thursday => Weekday::Thursday,
        WeekdayDocument::Friday => Weekday::Friday,
        WeekdayDocument::Saturday => Weekday::Saturday,
        WeekdayDocument::Sunday => Weekday::Sunday,
    }
}
