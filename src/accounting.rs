//! Usage, the record guard, the ledger.
