//! The values of expressions.

use std::collections::BTreeMap;

use serde_json::Value;

/// The result of an expression.
#[derive(Clone)]
pub(super) enum Term {
    Plain(Value),
    Function(Function),
}

/// A function defined in the expression, with the bindings of its scope.
#[derive(Clone)]
pub(super) struct Function {
    pub(super) parameters: Vec<String>,
    pub(super) body: Value,
    pub(super) bound: Bindings,
}

/// The arguments in scope, by name.
pub(super) type Bindings = BTreeMap<String, Term>;

/// The arguments of a call, by name.
pub(super) type Arguments = BTreeMap<String, Term>;
