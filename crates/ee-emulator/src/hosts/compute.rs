//! `value:compute`: expressions over numbers, text, lists and dictionaries.
//!
//! An expression is a directed acyclic graph of nodes in the format of Earth Engine's v1 API:
//! constants, references, and calls of the functions in [`functions`](super::functions).

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::expression::{Arguments, Bindings, Function, Term};
use super::{functions, payload};
use crate::error_responses;
use crate::response::Response;

/// The maximum nesting depth, so that no request can exhaust the stack. A call or a reference counts
/// as one or two levels.
const MAX_DEPTH: usize = 400;

/// The maximum number of evaluated nodes, so that no request can keep the emulator busy.
const MAX_STEPS: usize = 200_000;

pub(super) fn handle(body: &Map<String, Value>) -> Result<Response, Response> {
    check_workload_tag(body.get("workloadTag"))?;
    let value = evaluate(payload::expression(body)?)?;
    Ok(Response::json(200, &json!({"result": value})))
}

/// Evaluates an expression.
pub(super) fn evaluate(expression: &Map<String, Value>) -> Result<Value, Response> {
    let invalid = |why: &str| error_responses::invalid_argument(why);
    let (Some(Value::String(result)), Some(Value::Object(values))) =
        (expression.get("result"), expression.get("values"))
    else {
        return Err(invalid(
            "Invalid expression: 'result' and 'values' are required.",
        ));
    };
    let mut evaluation = Evaluation {
        values,
        known: HashMap::new(),
        open: Vec::new(),
        steps: 0,
    };
    match evaluation.reference(result, &Bindings::new(), 0) {
        Ok(Term::Plain(value)) => Ok(value),
        Ok(Term::Function(_)) => Err(invalid("Functions cannot be returned.")),
        Err(why) => Err(invalid(&why)),
    }
}

/// Validates a workload tag: at most 63 lowercase letters, digits, `-` and `_`, with a letter or
/// digit at both ends.
pub(super) fn check_workload_tag(tag: Option<&Value>) -> Result<(), Response> {
    let Some(tag) = tag else {
        return Ok(());
    };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let valid = tag.as_str().is_some_and(|tag| {
        let bytes = tag.as_bytes();
        // Some clients send an empty tag instead of none.
        bytes.is_empty()
            || bytes.len() <= 63
                && bytes.first().copied().is_some_and(plain)
                && bytes.last().copied().is_some_and(plain)
                && bytes
                    .iter()
                    .all(|byte| plain(*byte) || b"-_".contains(byte))
    });
    if valid {
        Ok(())
    } else {
        Err(error_responses::invalid_argument(&format!(
            "Invalid workload tag {tag}. Tags must be 1-63 characters, beginning and ending with \
             an alphanumeric character ([a-z0-9]) with dashes (-), underscores (_), and \
             alphanumerics between."
        )))
    }
}

struct Evaluation<'a> {
    values: &'a Map<String, Value>,
    /// Computed values, so that a node with several references is computed once.
    known: HashMap<String, Term>,
    /// The references being followed, to detect cycles.
    open: Vec<String>,
    steps: usize,
}

impl Evaluation<'_> {
    fn reference(&mut self, name: &str, bound: &Bindings, depth: usize) -> Result<Term, String> {
        // Inside a function, a node's value depends on the arguments.
        let cacheable = bound.is_empty();
        if cacheable && let Some(term) = self.known.get(name) {
            return Ok(term.clone());
        }
        if self.open.iter().any(|open| open == name) {
            return Err(format!(
                "Invalid expression: node '{name}' refers to itself."
            ));
        }
        let values = self.values;
        let node = values
            .get(name)
            .ok_or_else(|| format!("Invalid expression: node '{name}' not found."))?;
        self.open.push(name.to_owned());
        let term = self.node(node, bound, depth + 1);
        self.open.pop();
        let term = term?;
        if cacheable {
            self.known.insert(name.to_owned(), term.clone());
        }
        Ok(term)
    }

    fn node(&mut self, node: &Value, bound: &Bindings, depth: usize) -> Result<Term, String> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err("Computation timed out.".to_owned());
        }
        if depth > MAX_DEPTH {
            return Err("Invalid expression: nested too deeply.".to_owned());
        }
        let (kind, content) = only_member(node)?;
        match (kind, content) {
            ("constantValue", value) => Ok(Term::Plain(value.clone())),
            ("integerValue", value) => integer(value).map(Term::Plain),
            ("valueReference", Value::String(name)) => self.reference(name, bound, depth),
            ("argumentReference", Value::String(name)) => bound
                .get(name)
                .cloned()
                .ok_or_else(|| format!("Invalid expression: argument '{name}' is not defined.")),
            ("arrayValue", Value::Object(array)) => self.array(array, bound, depth),
            ("dictionaryValue", Value::Object(dictionary)) => {
                self.dictionary(dictionary, bound, depth)
            }
            ("functionDefinitionValue", Value::Object(definition)) => define(definition, bound),
            ("functionInvocationValue", Value::Object(call)) => self.call(call, bound, depth),
            _ => Err(format!(
                "Invalid expression: '{kind}' is not a kind of value."
            )),
        }
    }

    /// Evaluates a node that must not be a function.
    fn plain(&mut self, node: &Value, bound: &Bindings, depth: usize) -> Result<Value, String> {
        match self.node(node, bound, depth)? {
            Term::Plain(value) => Ok(value),
            Term::Function(_) => Err("Functions cannot be put into collections.".to_owned()),
        }
    }

    fn array(
        &mut self,
        array: &Map<String, Value>,
        bound: &Bindings,
        depth: usize,
    ) -> Result<Term, String> {
        let items = match array.get("values") {
            Some(Value::Array(items)) => items.as_slice(),
            None => &[],
            Some(_) => return Err("Invalid expression: 'values' must be a list.".to_owned()),
        };
        let items: Result<Vec<Value>, String> = items
            .iter()
            .map(|item| self.plain(item, bound, depth + 1))
            .collect();
        Ok(Term::Plain(Value::Array(items?)))
    }

    fn dictionary(
        &mut self,
        dictionary: &Map<String, Value>,
        bound: &Bindings,
        depth: usize,
    ) -> Result<Term, String> {
        let mut members = Map::new();
        match dictionary.get("values") {
            Some(Value::Object(nodes)) => {
                for (name, node) in nodes {
                    members.insert(name.clone(), self.plain(node, bound, depth + 1)?);
                }
            }
            None => {}
            Some(_) => return Err("Invalid expression: 'values' must be an object.".to_owned()),
        }
        Ok(Term::Plain(Value::Object(members)))
    }

    fn call(
        &mut self,
        call: &Map<String, Value>,
        bound: &Bindings,
        depth: usize,
    ) -> Result<Term, String> {
        let mut arguments = Arguments::new();
        match call.get("arguments") {
            Some(Value::Object(nodes)) => {
                for (name, node) in nodes {
                    arguments.insert(name.clone(), self.node(node, bound, depth + 1)?);
                }
            }
            None => {}
            Some(_) => return Err("Invalid expression: 'arguments' must be an object.".to_owned()),
        }
        match (call.get("functionName"), call.get("functionReference")) {
            (Some(Value::String(name)), None) => {
                functions::call(name, &arguments, &mut |function, given| {
                    self.apply(function, given, depth + 1)
                })
                .map(Term::Plain)
            }
            (None, Some(Value::String(name))) => {
                let Term::Function(function) = self.reference(name, bound, depth)? else {
                    return Err(format!(
                        "Invalid expression: node '{name}' is not a function."
                    ));
                };
                let mut inner = function.bound.clone();
                inner.extend(arguments);
                self.body(&function, &inner, depth)
            }
            _ => Err("Invalid expression: a call must have exactly one function.".to_owned()),
        }
    }

    /// Calls a function defined in the expression with positional arguments.
    fn apply(
        &mut self,
        function: &Function,
        given: Vec<Value>,
        depth: usize,
    ) -> Result<Value, String> {
        let mut inner = function.bound.clone();
        let given = given.into_iter().map(Term::Plain);
        inner.extend(function.parameters.iter().cloned().zip(given));
        match self.body(function, &inner, depth)? {
            Term::Plain(value) => Ok(value),
            Term::Function(_) => Err("Functions cannot be put into collections.".to_owned()),
        }
    }

    fn body(
        &mut self,
        function: &Function,
        bound: &Bindings,
        depth: usize,
    ) -> Result<Term, String> {
        match &function.body {
            Value::String(name) => self.reference(name, bound, depth + 1),
            node => self.node(node, bound, depth + 1),
        }
    }
}

fn define(definition: &Map<String, Value>, bound: &Bindings) -> Result<Term, String> {
    let parameters = match definition.get("argumentNames") {
        Some(Value::Array(names)) => names
            .iter()
            .map(|name| name.as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>(),
        None => Some(Vec::new()),
        Some(_) => None,
    };
    match (parameters, definition.get("body")) {
        (Some(parameters), Some(body)) => Ok(Term::Function(Function {
            parameters,
            body: body.clone(),
            bound: bound.clone(),
        })),
        _ => Err("Invalid expression: a function must have 'argumentNames' and 'body'.".to_owned()),
    }
}

/// Returns the only member of a node, which is a union.
fn only_member(node: &Value) -> Result<(&str, &Value), String> {
    let mut members = node.as_object().into_iter().flatten();
    match (members.next(), members.next()) {
        (Some((kind, content)), None) => Ok((kind, content)),
        _ => Err("Invalid expression: a node must have exactly one kind of value.".to_owned()),
    }
}

/// Parses an integer. 64-bit integers are strings in JSON.
fn integer(value: &Value) -> Result<Value, String> {
    value
        .as_i64()
        .or_else(|| value.as_str()?.parse().ok())
        .map(Value::from)
        .ok_or_else(|| "Invalid expression: 'integerValue' is not an integer.".to_owned())
}
