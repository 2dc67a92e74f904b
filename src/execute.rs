//! The interpreter of a [`crate::domain::Plan`].
