//! Who goes next: foreground before background, and within each one request of every key in turn, so that a key which sends a
//! hundred requests does not keep another's single one waiting for a hundred turns.
//!
//! A full line makes room for those who have less than their share of it: a foreground request sends the newest background
//! request away, and then the newest request of the key that has the most.

use std::collections::{HashMap, VecDeque};

use tokio::sync::oneshot;

use super::{Refused, Turn};
use crate::domain::{CallContext, KeyId, Priority};

/// Who waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Caller {
    /// Turns are shared evenly among keys; `None` is the program itself.
    key: Option<KeyId>,
    /// Foreground goes first.
    priority: Priority,
}

impl Caller {
    /// Returns who makes a call.
    pub(in super::super) fn of(context: &CallContext) -> Self {
        Self { key: Some(context.key.clone()), priority: context.priority }
    }

    /// Returns the program itself, which measures something.
    pub(in super::super) const fn own() -> Self {
        Self { key: None, priority: Priority::Background }
    }

    #[cfg(test)]
    pub(in super::super) fn named(key: &str, priority: Priority) -> Self {
        Self { key: Some(KeyId::parse(key).unwrap()), priority }
    }
}

/// What becomes of one who waits.
pub(super) type Called = Result<Turn, Refused>;

/// One who waits.
pub(super) struct Waiter {
    pub(super) number: u64,
    pub(super) called: oneshot::Sender<Called>,
}

/// Everyone who waits.
#[derive(Default)]
pub(super) struct Line {
    foreground: Class,
    background: Class,
}

/// Those of one priority.
#[derive(Default)]
struct Class {
    /// Keys that have someone waiting, the next one in front.
    round: VecDeque<Option<KeyId>>,
    waiting: HashMap<Option<KeyId>, VecDeque<Waiter>>,
    length: usize,
}

impl Line {
    /// Returns how many wait.
    pub(super) fn length(&self) -> usize {
        self.foreground.length + self.background.length
    }

    /// Returns how many would go before a newcomer of this priority at most.
    pub(super) fn ahead(&self, priority: Priority) -> usize {
        match priority {
            Priority::Foreground => self.foreground.length,
            Priority::Background => self.length(),
        }
    }

    /// Appends one who waits.
    pub(super) fn push(&mut self, caller: &Caller, waiter: Waiter) {
        self.class(caller.priority).push(&caller.key, waiter);
    }

    /// Takes out who goes next.
    pub(super) fn next(&mut self) -> Option<Waiter> {
        self.foreground.next().or_else(|| self.background.next())
    }

    /// Takes out one who leaves; nothing happens if it was called before.
    pub(super) fn leave(&mut self, caller: &Caller, number: u64) {
        self.class(caller.priority).leave(&caller.key, number);
    }

    /// Takes out who must give way to a newcomer in a full line; `None` when nobody has more than the newcomer.
    pub(super) fn give_way(&mut self, newcomer: &Caller) -> Option<Waiter> {
        if newcomer.priority == Priority::Foreground
            && let Some(waiter) = self.background.newest_of_greediest()
        {
            return Some(waiter);
        }
        let class = self.class(newcomer.priority);
        let own = class.waiting.get(&newcomer.key).map_or(0, VecDeque::len);
        // With one more of its own the newcomer's key must still not have more than the other.
        (class.most() > own + 1).then(|| class.newest_of_greediest()).flatten()
    }

    fn class(&mut self, priority: Priority) -> &mut Class {
        match priority {
            Priority::Foreground => &mut self.foreground,
            Priority::Background => &mut self.background,
        }
    }
}

impl Class {
    fn push(&mut self, key: &Option<KeyId>, waiter: Waiter) {
        let waiters = self.waiting.entry(key.clone()).or_default();
        if waiters.is_empty() {
            self.round.push_back(key.clone());
        }
        waiters.push_back(waiter);
        self.length += 1;
    }

    fn next(&mut self) -> Option<Waiter> {
        let key = self.round.pop_front()?;
        let waiters = self.waiting.get_mut(&key)?;
        let waiter = waiters.pop_front()?;
        if waiters.is_empty() {
            self.waiting.remove(&key);
        } else {
            self.round.push_back(key);
        }
        self.length -= 1;
        Some(waiter)
    }

    fn leave(&mut self, key: &Option<KeyId>, number: u64) {
        let Some(waiters) = self.waiting.get_mut(key) else { return };
        let before = waiters.len();
        waiters.retain(|waiter| waiter.number != number);
        self.length -= before - waiters.len();
        self.forget_if_gone(key);
    }

    fn most(&self) -> usize {
        self.waiting.values().map(VecDeque::len).max().unwrap_or(0)
    }

    fn newest_of_greediest(&mut self) -> Option<Waiter> {
        let newest = |waiters: &VecDeque<Waiter>| waiters.back().map(|waiter| waiter.number);
        let greediest = self.waiting.iter().max_by_key(|(_, waiters)| (waiters.len(), newest(waiters)));
        let key = greediest.map(|(key, _)| key.clone())?;
        let waiter = self.waiting.get_mut(&key)?.pop_back()?;
        self.length -= 1;
        self.forget_if_gone(&key);
        Some(waiter)
    }

    fn forget_if_gone(&mut self, key: &Option<KeyId>) {
        if self.waiting.get(key).is_some_and(VecDeque::is_empty) {
            self.waiting.remove(key);
            self.round.retain(|other| other != key);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn caller(key: &str, priority: Priority) -> Caller {
        Caller::named(key, priority)
    }

    fn waiter(number: u64) -> Waiter {
        Waiter { number, called: oneshot::channel().0 }
    }

    fn order(line: &mut Line) -> Vec<u64> {
        std::iter::from_fn(|| line.next()).map(|waiter| waiter.number).collect()
    }

    #[test]
    fn keys_take_turns_and_foreground_goes_first() {
        let mut line = Line::default();
        for (number, key, priority) in [
            (0, "busy", Priority::Background),
            (1, "busy", Priority::Foreground),
            (2, "busy", Priority::Foreground),
            (3, "busy", Priority::Foreground),
            (4, "calm", Priority::Foreground),
        ] {
            line.push(&caller(key, priority), waiter(number));
        }

        assert_eq!(order(&mut line), [1, 4, 2, 3, 0]);
    }

    #[test]
    fn a_full_line_makes_room_for_who_has_less_than_a_share() {
        let (busy, calm) = (caller("busy", Priority::Foreground), caller("calm", Priority::Foreground));
        let probe = caller("calm", Priority::Background);
        let mut line = Line::default();
        for number in 0..3 {
            line.push(&busy, waiter(number));
        }
        line.push(&probe, waiter(3));

        assert_eq!(line.give_way(&busy).map(|waiter| waiter.number), Some(3), "background first");
        assert_eq!(line.give_way(&calm).map(|waiter| waiter.number), Some(2), "then the newest of the greediest");
        assert!(line.give_way(&busy).is_none());
        assert!(line.give_way(&probe).is_none(), "background sends no foreground away");
    }

    proptest! {
        /// Whoever joins is called once, leaves once or is sent away once, and the length is right at every step.
        #[test]
        fn nobody_is_lost(steps in prop::collection::vec((0..4u8, 0..3u8, any::<bool>()), 1..60)) {
            let (mut line, mut inside) = (Line::default(), Vec::<(u64, Caller)>::new());
            for (number, (step, key, is_urgent)) in steps.into_iter().enumerate() {
                let priority = if is_urgent { Priority::Foreground } else { Priority::Background };
                let caller = caller(&format!("key-{key}"), priority);
                let gone = match step {
                    0 => line.next(),
                    1 => line.give_way(&caller),
                    2 if !inside.is_empty() => {
                        let (number, caller) = inside.remove(number % inside.len());
                        line.leave(&caller, number);
                        None
                    }
                    _ => {
                        line.push(&caller, waiter(number as u64));
                        inside.push((number as u64, caller));
                        None
                    }
                };
                if let Some(gone) = gone {
                    let place = inside.iter().position(|(number, _)| *number == gone.number);
                    inside.remove(place.expect("only who is inside is called"));
                }
                prop_assert_eq!(line.length(), inside.len());
            }
            prop_assert_eq!(order(&mut line).len(), inside.len());
        }
    }
}
