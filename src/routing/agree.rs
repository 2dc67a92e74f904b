//! Probe and agree: a committee, one after another, until another answer is worth no more than it costs.

use std::sync::Arc;

use super::{
    Constraints, ParameterError, Strategy, Weight,
    agreement::{AgreementModel, Answer, Charges, Heard, Step, clamped_logit},
    gates::Gated,
    outcome::{Ranked, decision},
    quality_cost::DOLLARS_PER_UNIT,
};
use crate::domain::{
    Agree, AgreeMember, AgreeStep, Ask, Candidate, Committee, Course, Decision, Extractor, Leg, MemberState, Needs,
    NoRoute, Plan, Probability, Reason, Terms,
};

/// What [`Agreeing`] needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct AgreeParameters {
    /// What every model must meet.
    pub constraints: Constraints,
    /// The fitted model.
    pub model: Arc<AgreementModel>,
    /// Its name, for records.
    pub name: String,
    /// What of the answers is compared.
    pub extract: Extractor,
    /// Quality given up to save one US cent of expected cost.
    pub cost_weight: Weight,
    /// Quality given up to save one second.
    pub latency_weight: Weight,
    /// How many models stand by when no member answers.
    pub max_fallbacks: usize,
}

/// Asks the members of a fitted committee that meet the constraints, by what the router predicts of each (of one that it does not
/// know: by its mean quality in the fit) and what it costs. Where at most one does, the plan is a single one.
#[derive(Clone, Debug)]
pub struct Agreeing {
    parameters: AgreeParameters,
}

impl Agreeing {
    /// Returns the strategy.
    ///
    /// # Errors
    /// A weight is negative or no number.
    pub fn new(parameters: AgreeParameters) -> Result<Self, ParameterError> {
        parameters.cost_weight.check("cost_weight")?;
        parameters.latency_weight.check("latency_weight")?;
        Ok(Self { parameters })
    }

    fn terms(&self, ask: &Ask, candidate: &Candidate) -> Terms {
        let wish = ask.preferences.quality.map(Probability::value);
        let (estimate, quality) = (&candidate.estimate, candidate.estimate.quality.value());
        let cost = -self.parameters.cost_weight.at(wish) * estimate.cost.dollars() / DOLLARS_PER_UNIT + 0.0;
        let latency = -self.parameters.latency_weight.at(wish) * estimate.latency.as_secs_f64() + 0.0;
        Terms { quality, cost, latency, goals: 0.0, utility: quality + cost + latency }
    }

    /// Returns the candidates: the member that is asked first, the other members, and everyone else, each by utility.
    fn order<'a>(&self, ask: &Ask, gated: &Gated<'a>) -> Vec<Ranked<'a>> {
        let ranked = |candidate: &&'a Candidate| Ranked { candidate, terms: Some(self.terms(ask, candidate)) };
        let mut order: Vec<Ranked<'a>> = gated.fitting.iter().map(ranked).collect();
        let place = |ranked: &Ranked<'_>| self.place(&ranked.candidate.model.name);
        let utility = |ranked: &Ranked<'_>| ranked.terms.map_or(0.0, |terms| terms.utility);
        order.sort_by(|a, b| place(a).is_none().cmp(&place(b).is_none()).then(utility(b).total_cmp(&utility(a))));
        let members: Vec<(usize, &Ranked<'_>)> =
            order.iter().filter_map(|ranked| Some((place(ranked)?, ranked))).collect();
        let chair = Chair::of(&self.parameters.model, &members);
        if let AgreeStep::Ask(first) = chair.next(&vec![MemberState::Open; members.len()]) {
            order.get_mut(..=first).into_iter().for_each(|front| front.rotate_right(1));
        }
        order
    }

    /// Returns the number of a model among the members of the fitted model.
    fn place(&self, name: &crate::domain::ModelName) -> Option<usize> {
        self.parameters.model.members().iter().position(|member| member.model == *name)
    }
}

impl Strategy for Agreeing {
    fn decide(&self, ask: &Ask) -> Result<Decision, NoRoute> {
        let gated = self.parameters.constraints.sift(ask)?;
        let order = self.order(ask, &gated);
        let seated: Vec<(usize, &Ranked<'_>)> =
            order.iter().filter_map(|ranked| Some((self.place(&ranked.candidate.model.name)?, ranked))).collect();
        let chair = Chair::of(&self.parameters.model, &seated);
        let members: Vec<AgreeMember> = seated.iter().map(|(_, ranked)| planned(ranked)).collect();
        let others = order.iter().skip(members.len()).take(self.parameters.max_fallbacks);
        let fallbacks = others.map(|ranked| Leg { model: ranked.candidate.model.name.clone() }).collect();
        let decided = decision(order, gated, Reason::BestUtility, self.parameters.max_fallbacks)?;
        if members.len() < 2 {
            return Ok(decided);
        }
        let plan = Plan::Agree(Agree {
            members,
            extract: self.parameters.extract.clone(),
            model: self.parameters.name.clone(),
            fallbacks,
            course: Course::new(Arc::new(chair)),
        });
        Ok(Decision { plan, ..decided })
    }

    fn needs(&self) -> Needs {
        Needs::SCORES
    }
}

fn planned(ranked: &Ranked<'_>) -> AgreeMember {
    let leg = Leg { model: ranked.candidate.model.name.clone() };
    AgreeMember { leg, quality: ranked.candidate.estimate.quality, charge: charge(ranked) }
}

fn charge(ranked: &Ranked<'_>) -> f64 {
    ranked.terms.map_or(0.0, |terms| -(terms.cost + terms.latency))
}

/// Decides for one request: the fitted model, with what was predicted and what asking costs, by member of the model.
#[derive(Clone, Debug)]
struct Chair {
    model: Arc<AgreementModel>,
    /// Members of the plan by their numbers in the model.
    seats: Vec<usize>,
    logits: Vec<f64>,
    charges: Vec<Option<f64>>,
}

impl Chair {
    fn of(model: &Arc<AgreementModel>, members: &[(usize, &Ranked<'_>)]) -> Self {
        let mut logits = vec![0.0; model.members().len()];
        let mut charges = vec![None; model.members().len()];
        for (seat, ranked) in members {
            let estimate = &ranked.candidate.estimate;
            let fitted = model.members().get(*seat).filter(|_| estimate.is_prior);
            // A prior over all models is far from what the weights were fitted with.
            let logit = clamped_logit(fitted.map_or(estimate.quality.value(), |member| member.mean_quality));
            logits.iter_mut().skip(*seat).take(1).for_each(|place| *place = logit);
            charges.iter_mut().skip(*seat).take(1).for_each(|place| *place = Some(charge(ranked)));
        }
        Self { model: Arc::clone(model), seats: members.iter().map(|(seat, _)| *seat).collect(), logits, charges }
    }

    /// Returns the member of the plan that sits there.
    fn member(&self, seat: usize) -> Option<usize> {
        self.seats.iter().position(|own| *own == seat)
    }

    fn heard(&self, states: &[MemberState]) -> Heard {
        let mut known: Vec<&str> = Vec::new();
        let mut heard = Heard::default();
        for (seat, state) in self.seats.iter().zip(states) {
            let MemberState::Answered { said, tokens } = state else { continue };
            let answer = said.as_deref().map_or(Answer::Silent, |said| {
                let place = known.iter().position(|other| *other == said).unwrap_or_else(|| {
                    known.push(said);
                    known.len() - 1
                });
                Answer::Said(place as i64)
            });
            heard = heard.with(*seat, answer, Some(*tokens as f64));
        }
        heard
    }

    /// Returns what asking each member costs that is open, by its number in the model.
    fn open(&self, states: &[MemberState]) -> Vec<Option<f64>> {
        let is_open = |seat: usize| {
            self.member(seat).and_then(|member| states.get(member)).is_some_and(|state| *state == MemberState::Open)
        };
        self.charges.iter().enumerate().map(|(seat, charge)| charge.filter(|_| is_open(seat))).collect()
    }
}

impl Committee for Chair {
    fn next(&self, states: &[MemberState]) -> AgreeStep {
        let charges = Charges::new(self.open(states));
        let advice = self.model.step(&self.heard(states), &self.logits, &charges);
        let step = match advice.step {
            Step::Ask(seat) => self.member(seat).map(AgreeStep::Ask),
            Step::Stop(seat) => self.member(seat).map(|member| AgreeStep::Give(member, Some(advice.posterior.best()))),
            Step::Nobody => None,
        };
        step.unwrap_or(AgreeStep::GiveUp)
    }

    fn is_final(&self, states: &[MemberState], member: usize) -> bool {
        let own = self.seats.get(member);
        let open = self.open(states);
        let others = open.iter().enumerate().filter(|(seat, _)| Some(seat) != own);
        self.model.most() == 1 || others.into_iter().all(|(_, charge)| charge.is_none_or(|charge| charge >= 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::{
        agreement::samples::committee,
        samples::{ask, expected},
    };

    fn strategy(names: &[&str], cost: f64) -> Agreeing {
        Agreeing::new(AgreeParameters {
            constraints: Constraints::default(),
            model: Arc::new(committee(names)),
            name: "sample".to_owned(),
            extract: Extractor::Choice,
            cost_weight: Weight::fixed(cost),
            latency_weight: Weight::fixed(0.0),
            max_fallbacks: 1,
        })
        .unwrap()
    }

    /// Prices are a tenth of a cent and a cent.
    fn three() -> Ask {
        ask(vec![
            expected("other", 0.9, 1, 1),
            expected("dear", 0.8, 10_000_000, 1),
            expected("cheap", 0.75, 1_000_000, 1),
        ])
    }

    fn agreed(strategy: &Agreeing) -> Agree {
        match strategy.decide(&three()).unwrap().plan {
            Plan::Agree(plan) => plan,
            other => panic!("{other:?}"),
        }
    }

    fn said(text: &str) -> MemberState {
        MemberState::Answered { said: Some(text.to_owned()), tokens: 20 }
    }

    #[test]
    fn members_are_seated_who_is_asked_first_in_front_and_others_stand_by() {
        let plan = agreed(&strategy(&["dear", "cheap", "gone"], 0.1));

        let models: Vec<&str> = plan.legs().map(|leg| leg.model.as_str()).collect();
        assert_eq!(models, ["cheap", "dear", "other"]);
        assert!((plan.members[0].charge - 0.01).abs() < 1e-12 && (plan.members[1].charge - 0.1).abs() < 1e-12);
    }

    #[test]
    fn one_answer_is_followed_by_another_until_two_agree() {
        let plan = agreed(&strategy(&["dear", "cheap", "other"], 0.1));
        let models: Vec<&str> = plan.members.iter().map(|member| member.leg.model.as_str()).collect();
        assert_eq!(models, ["other", "cheap", "dear"]);

        let open = || MemberState::Open;
        assert_eq!(plan.course.next(&[open(), open(), open()]), AgreeStep::Ask(0));
        assert_eq!(plan.course.next(&[said("A"), open(), open()]), AgreeStep::Ask(1));
        assert_eq!(plan.course.next(&[said("A"), said("B"), open()]), AgreeStep::Ask(2));
        let given = plan.course.next(&[said("A"), said("A"), open()]);
        // Both said the same.
        let AgreeStep::Give(0 | 1, Some(probability)) = given else { panic!("{given:?}") };
        assert!((probability - 3.0_f64.exp() / (3.0_f64.exp() + 0.5_f64.exp())).abs() < 1e-9);
        let given = plan.course.next(&[said("A"), said("B"), said("B")]);
        assert!(matches!(given, AgreeStep::Give(1 | 2, Some(_))), "{given:?}");
        assert!(matches!(
            plan.course.next(&[said("A"), MemberState::Closed, MemberState::Closed]),
            AgreeStep::Give(0, _)
        ));
        assert_eq!(
            plan.course.next(&[MemberState::Closed, MemberState::Closed, MemberState::Closed]),
            AgreeStep::GiveUp
        );
    }

    #[test]
    fn where_nobody_else_is_worth_asking_an_answer_is_final() {
        let dear = agreed(&strategy(&["dear", "cheap"], 1.5));
        let cheap = agreed(&strategy(&["dear", "cheap"], 0.1));
        let both = [MemberState::Open, MemberState::Open];

        // The cheap one is asked first; the dear one would cost one and a half right answers.
        assert!(dear.course.is_final(&both, 0) && !dear.course.is_final(&both, 1));
        assert!(!cheap.course.is_final(&both, 0));
        assert!(cheap.course.is_final(&[MemberState::Open, MemberState::Closed], 0));
    }

    #[test]
    fn with_one_member_left_the_plan_is_a_plain_one() {
        let decision = strategy(&["dear", "gone"], 0.1).decide(&three()).unwrap();

        let models: Vec<&str> = decision.plan.legs().map(|leg| leg.model.as_str()).collect();
        assert_eq!((decision.plan.kind().name(), models), ("single", vec!["dear", "other"]));
    }

    #[test]
    fn a_plan_reads_back_from_a_record_and_then_takes_the_first_answer() {
        let plan = Plan::Agree(agreed(&strategy(&["dear", "cheap"], 0.1)));

        let text = serde_json::to_string(&plan).unwrap();
        let read: Plan = serde_json::from_str(&text).unwrap();

        assert_eq!(read, plan);
        let Plan::Agree(read) = read else { panic!() };
        assert_eq!(read.course.next(&[said("A"), MemberState::Open]), AgreeStep::Give(0, None));
    }
}
