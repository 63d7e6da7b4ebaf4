//! Nothing: the tests are beside.
