//! From the document of a cascade to the strategy.

use super::{
    Compiler,
    strategy::{Built, Scope, shared},
};
use crate::{
    config::path::Path,
    domain::{AnswerForm, AnswerPattern, DeferralTest, Leg, Probability, Rung, Statistic},
    policy::document::{
        CascadeDocument, DeferDocument, FormatDocument, LengthDocument, LogprobDocument, RungDocument,
        StatisticDocument,
    },
    routing::{Cascade, CascadeParameters},
};

/// A rung as it is written, and where.
struct Written {
    rung: RungDocument,
    at: Path,
    model_at: Path,
}

/// What a test becomes.
pub(super) enum Test {
    /// A condition on what the router predicts.
    Prior(Probability),
    /// A test of the answer.
    Of(DeferralTest),
}

impl Compiler<'_, '_> {
    /// Returns `None` when a name or a test is at fault, which is then in the report.
    pub(super) fn cascade(&mut self, document: &CascadeDocument, scope: &Scope, at: &Path) -> Option<Built> {
        let written = self.written_rungs(document, at)?;
        let mut rungs = Vec::new();
        let last = written.len().saturating_sub(1);
        for (index, written) in written.iter().enumerate() {
            rungs.push(self.rung(written, index == last, scope));
        }
        if rungs.len() < 2 {
            self.report.add_with_help(at, "a cascade needs two models at least", "one model is the strategy \"fixed\"");
        }
        let parameters = CascadeParameters {
            constraints: scope.constraints.clone(),
            // A model that sleeps has no rung until it is awake.
            rungs: rungs.into_iter().collect::<Option<Vec<_>>>()?.into_iter().flatten().collect(),
            keeps_doubtful: document.keep_doubtful,
            max_fallbacks: scope.max_fallbacks,
        };
        Some(Cascade::new(parameters).map(shared).map_err(|error| (error, at.clone())))
    }

    /// Returns the rungs of either way to write them, each with its place.
    fn written_rungs(&mut self, document: &CascadeDocument, at: &Path) -> Option<Vec<Written>> {
        match (document.models.is_empty(), document.rungs.is_empty()) {
            (false, false) => {
                let message = "it cannot stand beside \"models\"";
                self.report.add_with_help(&at.key("rungs"), message, "leave out one of the two");
                None
            }
            (true, true) => {
                self.report.add_with_help(at, "it names no models", "for instance models: [small, large]");
                None
            }
            (true, false) => {
                if !document.defer.is_empty() {
                    let message = "it goes with \"models\"; rungs have tests of their own";
                    self.report.add(&at.key("defer"), message);
                }
                Some(self.long_rungs(document, at))
            }
            (false, true) => Some(self.short_rungs(document, at)),
        }
    }

    fn long_rungs(&mut self, document: &CascadeDocument, at: &Path) -> Vec<Written> {
        let last = document.rungs.len().saturating_sub(1);
        let mut written = Vec::new();
        for (index, rung) in document.rungs.iter().enumerate() {
            let at = at.key("rungs").index(index);
            let is_answer_test = |test: &DeferDocument| !matches!(test, DeferDocument::Prior(_));
            if index != last && !rung.defer.iter().any(is_answer_test) {
                let help = "add a test of its answer to \"defer\"";
                self.report.add_with_help(&at, "nothing ever sends a request on from here", help);
            }
            written.push(Written { rung: rung.clone(), model_at: at.key("model"), at });
        }
        written
    }

    fn short_rungs(&mut self, document: &CascadeDocument, at: &Path) -> Vec<Written> {
        if document.defer.is_empty() {
            let help = "for instance defer: [{ refusal: {} }]";
            self.report.add_with_help(at, "nothing ever sends a request on: \"defer\" is missing", help);
        }
        let last = document.models.len().saturating_sub(1);
        let rung = |(index, model): (usize, &String)| {
            let defer = if index == last { Vec::new() } else { document.defer.clone() };
            let rung = RungDocument { model: model.clone(), defer, accept_after: None };
            Written { rung, at: at.clone(), model_at: at.key("models").index(index) }
        };
        document.models.iter().enumerate().map(rung).collect()
    }

    /// Returns the rung; `None` when it has faults, `Some(None)` when its model sleeps.
    fn rung(&mut self, Written { rung, at, model_at }: &Written, is_last: bool, scope: &Scope) -> Option<Option<Rung>> {
        let model = self.chosen(&rung.model, &scope.candidates, model_at);
        self.check_rung(rung, is_last, at);
        let mut made = model.map(|model| Rung { accept_after: rung.accept_after, ..Rung::of(Leg { model }) });
        for (index, test) in rung.defer.iter().enumerate() {
            let test = self.test((&rung.model, test), scope, &at.key("defer").index(index));
            match (&mut made, test) {
                (Some(made), Some(Test::Prior(least))) => made.at_least = Some(least),
                (Some(made), Some(Test::Of(test))) => made.defer.push(test),
                _ => made = None,
            }
        }
        let made = made?;
        let is_awake = scope.candidates.contains(&made.leg.model);
        Some(Some(made).filter(|_| is_awake))
    }

    fn check_rung(&mut self, rung: &RungDocument, is_last: bool, at: &Path) {
        if is_last && !rung.defer.is_empty() {
            let message = "the last model's answer is always accepted";
            self.report.add_with_help(&at.key("defer"), message, "add a model after it, or leave this out");
        }
        let is_early = |test: &DeferDocument| {
            matches!(
                test,
                DeferDocument::Prior(_)
                    | DeferDocument::Logprob(_)
                    | DeferDocument::Margin(_)
                    | DeferDocument::Entropy(_)
                    | DeferDocument::Length(_)
            )
        };
        if rung.accept_after.is_some() && !rung.defer.iter().all(is_early) {
            let message = "an answer can only be accepted early where all tests are of its tokens or its length";
            self.report.add_with_help(&at.key("accept_after"), message, "leave it out, or the other tests");
        }
    }

    /// Returns a test of the answers of a model.
    pub(super) fn test(&mut self, (model, test): (&str, &DeferDocument), scope: &Scope, at: &Path) -> Option<Test> {
        Some(Test::Of(match test {
            DeferDocument::Prior(prior) => return Some(Test::Prior(self.share(prior.below, &at.key("prior"))?)),
            DeferDocument::Logprob(logprob) => self.logprob(logprob, &at.key("logprob"))?,
            DeferDocument::Margin(margin) => {
                self.finite(margin.below, &at.key("margin").key("below"))?;
                DeferralTest::Margin { below: margin.below, after: margin.after }
            }
            DeferDocument::Entropy(entropy) => {
                self.finite(entropy.above, &at.key("entropy").key("above"))?;
                DeferralTest::Entropy { above: entropy.above, after: entropy.after }
            }
            DeferDocument::Length(length) => self.length(*length, &at.key("length"))?,
            DeferDocument::Finish(finish) => DeferralTest::Finish { reasons: finish.reasons.clone() },
            DeferDocument::Refusal(refusal) => {
                if refusal.phrases.iter().any(|phrase| phrase.trim().is_empty()) {
                    self.report.add(&at.key("refusal").key("phrases"), "a phrase must not be blank");
                    return None;
                }
                DeferralTest::Refusal { phrases: refusal.phrases.clone() }
            }
            DeferDocument::Format(format) => DeferralTest::Format { form: self.form(format, &at.key("format"))? },
            DeferDocument::Judge(judge) => {
                let at = at.key("judge");
                let below = self.share(judge.below, &at);
                let model = self.chosen(&judge.model, &scope.candidates, &at.key("model"))?;
                DeferralTest::Judge { leg: Leg { model }, below: below? }
            }
            DeferDocument::Agreement(agreement) => {
                let at = at.key("agreement");
                let extract = self.extractor(&agreement.extract, &at.key("extract"));
                let below = self.share(agreement.below, &at);
                let leg = Leg { model: self.catalogue.canonical(model)? };
                let (samples, temperature) = (agreement.samples, agreement.temperature);
                DeferralTest::Agreement { leg, samples, temperature, extract: extract?, below: below? }
            }
            DeferDocument::SelfCheck(check) => {
                let below = self.share(check.below, &at.key("self_check"))?;
                // The name's own faults are told at the rung.
                let model = self.catalogue.canonical(model)?;
                DeferralTest::Judge { leg: Leg { model }, below }
            }
        }))
    }

    fn logprob(&mut self, document: &LogprobDocument, at: &Path) -> Option<DeferralTest> {
        self.finite(document.below, &at.key("below"))?;
        let statistic = match (document.statistic, document.quantile) {
            (StatisticDocument::Quantile, Some(share)) => {
                self.finite(share, &at.key("quantile"))?;
                Statistic::Quantile(share)
            }
            (StatisticDocument::Quantile, None) => {
                self.report.add_with_help(at, "\"quantile\" is missing", "for instance quantile: 0.1");
                return None;
            }
            (_, Some(_)) => {
                self.report.add_with_help(&at.key("quantile"), "it goes with statistic: quantile", "leave it out");
                return None;
            }
            (StatisticDocument::Mean, None) => Statistic::Mean,
            (StatisticDocument::Sum, None) => Statistic::Sum,
            (StatisticDocument::Minimum, None) => Statistic::Minimum,
        };
        Some(DeferralTest::Logprob { statistic, below: document.below, after: document.after })
    }

    fn length(&mut self, LengthDocument { min, max }: LengthDocument, at: &Path) -> Option<DeferralTest> {
        let message = match (min, max) {
            (None, None) => "it needs one of min and max",
            (Some(min), Some(max)) if min > max => "the range is empty: min is above max",
            _ => return Some(DeferralTest::Length { min, max }),
        };
        self.report.add(at, message);
        None
    }

    fn form(&mut self, document: &FormatDocument, at: &Path) -> Option<AnswerForm> {
        match (&document.schema, &document.regex) {
            (None, None) => Some(AnswerForm::Requested),
            (Some(schema), None) if schema.is_object() => Some(AnswerForm::Schema(schema.clone())),
            (Some(_), None) => {
                self.report.add(&at.key("schema"), "a JSON schema is a mapping");
                None
            }
            (None, Some(regex)) => {
                let pattern =
                    AnswerPattern::parse(regex).map_err(|error| self.report.add(&at.key("regex"), error.to_string()));
                Some(AnswerForm::Matches(pattern.ok()?))
            }
            (Some(_), Some(_)) => {
                self.report.add_with_help(at, "schema and regex exclude each other", "make it two tests");
                None
            }
        }
    }

    fn share(&mut self, share: f64, at: &Path) -> Option<Probability> {
        self.finite(share, &at.key("below"))?;
        Some(Probability::clamped(share))
    }

    /// The schema has checked the range; YAML's `.nan` passes any.
    fn finite(&mut self, number: f64, at: &Path) -> Option<()> {
        if number.is_finite() {
            return Some(());
        }
        self.report.add(at, format!("{number} is no number to compare with"));
        None
    }
}
