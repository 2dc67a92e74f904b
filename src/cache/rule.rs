//! Which requests and which answers are for the cache.

use crate::{
    domain::{CacheControl, CacheRule, WholeReply},
    wire::chat::ChatCall,
};

/// What the cache may do for one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permission {
    /// Whether the request may be answered from the cache.
    pub may_look_up: bool,
    /// Whether its answer may be kept.
    pub may_store: bool,
}

impl Permission {
    /// Returns what the policy and the request allow.
    ///
    /// A request is for the cache when its answer is meant to be the same each time, that is with temperature 0 or with a
    /// seed (without a temperature providers take 1), or when the policy allows others too. A request for several choices
    /// wants variety, and is not. Streams are like whole answers.
    pub fn of(call: &ChatCall, rule: &CacheRule, control: &CacheControl) -> Self {
        let is_for_cache = call.choices == 1 && (rule.allow_nondeterministic || is_deterministic(call));
        if !rule.is_enabled || !is_for_cache {
            return Self::default();
        }
        Self { may_look_up: !control.no_cache, may_store: !control.no_store }
    }
}

fn is_deterministic(call: &ChatCall) -> bool {
    call.sampling.temperature == Some(0.0) || call.sampling.seed.is_some()
}

/// Returns whether an answer is whole and good.
///
/// `stop`, `tool_calls` and `function_call` are. `length` is when the caller set the limit: a classifier that asks for one
/// token gets one token; otherwise the answer was cut. Filtered answers and answers without a reason are not.
pub fn is_storable(call: &ChatCall, reply: &WholeReply) -> bool {
    match reply.finish_reason.as_deref() {
        Some("stop" | "tool_calls" | "function_call") => true,
        Some("length") => call.max_tokens.is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::wire::parse::Limits;

    fn call(fields: &str) -> ChatCall {
        let text = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}]{fields}}}"#);
        ChatCall::parse(Bytes::from(text), &Limits { messages: 10, choices: 8, depth: 20 }).unwrap()
    }

    fn permission(fields: &str) -> Permission {
        Permission::of(&call(fields), &CacheRule::default(), &CacheControl::default())
    }

    const ALL: Permission = Permission { may_look_up: true, may_store: true };

    #[test]
    fn only_requests_with_temperature_zero_or_a_seed_are_for_the_cache() {
        assert_eq!(permission(r#","temperature":0"#), ALL);
        assert_eq!(permission(r#","temperature":1,"seed":3"#), ALL);
        assert_eq!(permission(r#","temperature":0,"stream":true"#), ALL);
        assert_eq!(permission(""), Permission::default());
        assert_eq!(permission(r#","temperature":0.1"#), Permission::default());
        assert_eq!(permission(r#","temperature":0,"n":2"#), Permission::default());
    }

    #[test]
    fn a_policy_may_allow_more_or_nothing() {
        let generous = CacheRule { allow_nondeterministic: true, ..CacheRule::default() };
        let off = CacheRule { is_enabled: false, ..generous.clone() };

        assert_eq!(Permission::of(&call(""), &generous, &CacheControl::default()), ALL);
        assert_eq!(Permission::of(&call(""), &off, &CacheControl::default()), Permission::default());
    }

    #[test]
    fn a_request_may_narrow_what_the_policy_allows() {
        let deterministic = call(r#","seed":1"#);
        let with = |no_store, no_cache| {
            Permission::of(&deterministic, &CacheRule::default(), &CacheControl { no_store, no_cache })
        };

        assert_eq!(with(true, false), Permission { may_look_up: true, may_store: false });
        assert_eq!(with(false, true), Permission { may_look_up: false, may_store: true });
    }

    #[test]
    fn only_whole_good_answers_are_kept() {
        let reply = |reason: Option<&str>| WholeReply {
            body: Bytes::new(),
            usage: None,
            finish_reason: reason.map(str::to_owned),
            signals: Vec::new(),
        };

        assert!(is_storable(&call(""), &reply(Some("stop"))));
        assert!(is_storable(&call(""), &reply(Some("tool_calls"))));
        assert!(is_storable(&call(r#","max_tokens":1"#), &reply(Some("length"))));
        assert!(!is_storable(&call(""), &reply(Some("length"))));
        assert!(!is_storable(&call(""), &reply(Some("content_filter"))));
        assert!(!is_storable(&call(""), &reply(None)));
    }
}
