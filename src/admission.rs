//! Who may go in now: keys, rates, concurrency, budgets. Returns a permit.
