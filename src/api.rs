//! Everything actix: the route table, extractors, one file per endpoint, error rendering.
