//! What only the inside shows. The rules are tested by `core/tests/stack`.
