//! The probe set: prompts whose answers a program can grade.
//!
//! `probes/*.jsonl` holds a few hundred prompts written for this project, a file for each topic and three levels of
//! difficulty in each. They are asked of a new model to learn what it can do; no benchmark's prompts are among them. Each has a
//! [`Check`]: a number, a short text with its aliases, the exact output of a program, a JSON value, rules on the form, or tests
//! that the answer's Python code must pass. A grade is 1 or 0.
//!
//! # Invariants
//!
//! - A check is tolerant of wrapping (an introduction, `The answer is`, a fence, bold letters) and strict about substance.
//! - Every probe has a good answer that its check accepts; a test holds all of them to it, and to refusing bad ones.
//! - Code that a model wrote runs only where it was allowed, see [`sandbox`].
//!
//! To add probes: lines in a file of `probes/`, or a generator in `probes/generate.py` where answers can be worked out.

pub mod check;
mod final_answer;
mod json;
mod rules;
pub mod sandbox;
mod set;

pub use self::{
    check::Check,
    sandbox::{Sandbox, SandboxError},
    set::{Level, Probe, ProbeSet},
};
