//! The functions that `value:compute` supports: a small part of the algorithm list.

use serde_json::{Map, Value, json};

use super::call::{Call, type_of};
use super::collections;
use super::expression::{Arguments, Function};

/// The maximum length of a list, so that no request can exhaust memory.
const MAX_LIST_LENGTH: usize = 1_000_000;

/// Calls a function that the expression defines.
pub(super) type Apply<'a> = dyn FnMut(&Function, Vec<Value>) -> Result<Value, String> + 'a;

/// Returns the value of a call, or an error message in Google's style.
pub(super) fn call(
    name: &str,
    arguments: &Arguments,
    apply: &mut Apply<'_>,
) -> Result<Value, String> {
    let call = Call { name, arguments };
    let result = match name.split_once('.') {
        Some(("Number", method)) => number(&call, method),
        Some(("String", method)) => string(&call, method),
        Some(("List", method)) => list(&call, method, apply),
        Some(("Dictionary", method)) => dictionary(&call, method),
        None => plain(&call),
        Some(_) => None,
    };
    let result = result.or_else(|| collections::call(&call));
    result.unwrap_or_else(|| Err(format!("'{name}' is not a known function.")))
}

impl Call<'_> {
    fn number(&self, parameter: &str) -> Result<Number, String> {
        self.typed(parameter, "Number", self.value(parameter)?, Number::of)
    }
}

/// A number, which remains an integer where possible.
#[derive(Clone, Copy)]
enum Number {
    Whole(i64),
    Real(f64),
}

impl Number {
    fn of(value: &Value) -> Option<Self> {
        match value.as_i64() {
            Some(whole) => Some(Self::Whole(whole)),
            None => value.as_f64().map(Self::Real),
        }
    }

    fn real(self) -> f64 {
        match self {
            // Rounded beyond 2⁵³.
            Self::Whole(whole) => whole as f64,
            Self::Real(real) => real,
        }
    }

    fn json(self) -> Value {
        match self {
            Self::Whole(whole) => json!(whole),
            // JSON does not distinguish 2 from 2.0, and Google writes the shorter form.
            Self::Real(real) if real.fract() == 0.0 && real.abs() < 9.0e15 => json!(real as i64),
            Self::Real(real) if real.is_finite() => json!(real),
            Self::Real(real) if real.is_nan() => json!("NaN"),
            Self::Real(real) if real > 0.0 => json!("Infinity"),
            Self::Real(_) => json!("-Infinity"),
        }
    }
}

fn number(call: &Call<'_>, method: &str) -> Option<Result<Value, String>> {
    let real: Option<fn(f64) -> f64> = match method {
        "abs" => Some(f64::abs),
        "ceil" => Some(f64::ceil),
        "floor" => Some(f64::floor),
        "round" => Some(f64::round),
        "sqrt" => Some(f64::sqrt),
        "toFloat" => Some(|value| value),
        "toInt" => Some(f64::trunc),
        "not" => Some(|value| f64::from(value == 0.0)),
        _ => None,
    };
    if let Some(real) = real {
        let input = call.number("input");
        return Some(input.map(|input| Number::Real(real(input.real())).json()));
    }
    let (whole, real) = two_numbers(method)?;
    Some(call.number("left").and_then(|left| {
        let right = call.number("right")?;
        let exact = match (left, right) {
            (Number::Whole(left), Number::Whole(right)) => whole(left, right),
            _ => None,
        };
        let result = exact.map_or_else(
            || Number::Real(real(left.real(), right.real())),
            Number::Whole,
        );
        Ok(result.json())
    }))
}

/// A function of two numbers: for whole ones, where the result is whole, and for all.
type Whole = fn(i64, i64) -> Option<i64>;
type Real = fn(f64, f64) -> f64;

fn two_numbers(method: &str) -> Option<(Whole, Real)> {
    Some(match method {
        "add" => (i64::checked_add, |left, right| left + right),
        "subtract" => (i64::checked_sub, |left, right| left - right),
        "multiply" => (i64::checked_mul, |left, right| left * right),
        "divide" => (|_, _| None, |left, right| left / right),
        "mod" => (i64::checked_rem, |left, right| left % right),
        "pow" => (
            |left, right| left.checked_pow(u32::try_from(right).ok()?),
            f64::powf,
        ),
        "max" => (|left, right| Some(left.max(right)), f64::max),
        "min" => (|left, right| Some(left.min(right)), f64::min),
        "eq" => (|_, _| None, |left, right| f64::from(left == right)),
        "neq" => (|_, _| None, |left, right| f64::from(left != right)),
        "gt" => (|_, _| None, |left, right| f64::from(left > right)),
        "gte" => (|_, _| None, |left, right| f64::from(left >= right)),
        "lt" => (|_, _| None, |left, right| f64::from(left < right)),
        "lte" => (|_, _| None, |left, right| f64::from(left <= right)),
        "and" => (
            |_, _| None,
            |left, right| f64::from(left != 0.0 && right != 0.0),
        ),
        "or" => (
            |_, _| None,
            |left, right| f64::from(left != 0.0 || right != 0.0),
        ),
        _ => return None,
    })
}

fn string(call: &Call<'_>, method: &str) -> Option<Result<Value, String>> {
    let with_text = |change: fn(&str) -> Value| call.text("string").map(change);
    Some(match method {
        "cat" => call.text("string1").and_then(|first| {
            let second = call.text("string2")?;
            Ok(json!(format!("{first}{second}")))
        }),
        "equals" => call.text("reference").and_then(|reference| {
            let target = call.value("target")?;
            Ok(json!(target.as_str() == Some(reference)))
        }),
        "length" => with_text(|text| json!(text.chars().count())),
        "toUpperCase" => with_text(|text| json!(text.to_uppercase())),
        "toLowerCase" => with_text(|text| json!(text.to_lowercase())),
        "trim" => with_text(|text| json!(text.trim())),
        _ => return None,
    })
}

fn list(call: &Call<'_>, method: &str, apply: &mut Apply<'_>) -> Option<Result<Value, String>> {
    // `repeat` and `sequence` create a list, the others take one.
    match method {
        "repeat" => return Some(repeat(call)),
        "sequence" => return Some(sequence(call)),
        _ => {}
    }
    let with_list = |change: fn(&Vec<Value>) -> Value| call.list("list").map(change);
    Some(match method {
        "size" | "length" => with_list(|items| json!(items.len())),
        "reverse" => with_list(|items| items.iter().rev().cloned().collect()),
        "get" => call.list("list").and_then(|items| {
            let index = call.integer("index")?;
            resolve_index(items.len(), index)
                .and_then(|index| items.get(index).cloned())
                .ok_or_else(|| format!("List.get: List index {index} is out of bounds."))
        }),
        "add" => call.list("list").and_then(|items| {
            let mut items = items.clone();
            items.push(call.value("element")?.clone());
            Ok(Value::Array(items))
        }),
        "cat" => call
            .list("list")
            .and_then(|items| Ok(items.iter().chain(call.list("other")?).cloned().collect())),
        "contains" => call
            .list("list")
            .and_then(|items| Ok(json!(items.contains(call.value("element")?)))),
        "map" => call.list("list").and_then(|items| {
            let function = call.function("baseAlgorithm")?;
            items
                .iter()
                .map(|item| apply(function, vec![item.clone()]))
                .collect()
        }),
        "iterate" => call.list("list").and_then(|items| {
            let function = call.function("function")?;
            items
                .iter()
                .try_fold(call.value("first")?.clone(), |so_far, item| {
                    apply(function, vec![item.clone(), so_far])
                })
        }),
        _ => return None,
    })
}

/// Resolves an index; negative indices count from the end.
fn resolve_index(length: usize, index: i64) -> Option<usize> {
    match usize::try_from(index) {
        Ok(index) => Some(index),
        Err(_) => length.checked_sub(usize::try_from(index.unsigned_abs()).ok()?),
    }
}

fn repeat(call: &Call<'_>) -> Result<Value, String> {
    let count = usize::try_from(call.integer("count")?).unwrap_or(0);
    if count > MAX_LIST_LENGTH {
        return Err("List.repeat: The list is too long.".to_owned());
    }
    Ok(Value::Array(vec![call.value("value")?.clone(); count]))
}

fn sequence(call: &Call<'_>) -> Result<Value, String> {
    let start = call.number("start")?.real();
    let end = call.number("end")?.real();
    let step = match call.optional("step") {
        Some(_) => call.number("step")?.real(),
        None => 1.0,
    };
    let count = ((end - start) / step).floor() + 1.0;
    if !count.is_finite() || count > MAX_LIST_LENGTH as f64 {
        return Err("List.sequence: The list is too long.".to_owned());
    }
    // A negative count becomes 0, an empty list.
    Ok((0..count as usize)
        .map(|index| Number::Real(start + index as f64 * step).json())
        .collect())
}

fn dictionary(call: &Call<'_>, method: &str) -> Option<Result<Value, String>> {
    let with_dictionary =
        |change: fn(&Map<String, Value>) -> Value| call.dictionary("dictionary").map(change);
    Some(match method {
        "size" => with_dictionary(|members| json!(members.len())),
        "keys" => with_dictionary(|members| members.keys().cloned().map(Value::from).collect()),
        "values" => with_dictionary(|members| members.values().cloned().collect()),
        "contains" => call
            .dictionary("dictionary")
            .and_then(|members| Ok(json!(members.contains_key(call.text("key")?)))),
        "get" => call.dictionary("dictionary").and_then(|members| {
            let key = call.text("key")?;
            members
                .get(key)
                .or_else(|| call.optional("defaultValue"))
                .cloned()
                .ok_or_else(|| format!("Dictionary.get: Dictionary does not contain key: '{key}'."))
        }),
        "set" => call.dictionary("dictionary").and_then(|members| {
            let mut members = members.clone();
            members.insert(call.text("key")?.to_owned(), call.value("value")?.clone());
            Ok(Value::Object(members))
        }),
        _ => return None,
    })
}

fn plain(call: &Call<'_>) -> Option<Result<Value, String>> {
    Some(match call.name {
        "If" => {
            let branch = if is_true(call.optional("condition")) {
                "trueCase"
            } else {
                "falseCase"
            };
            Ok(call.optional(branch).cloned().unwrap_or(Value::Null))
        }
        "IsEqual" => Ok(json!(call.optional("left") == call.optional("right"))),
        "ObjectType" => Ok(json!(call.optional("value").map_or("Null", type_of))),
        "String" => call.value("input").map(|input| match input {
            Value::String(_) => input.clone(),
            other => json!(other.to_string()),
        }),
        "Dictionary" => match call.optional("input") {
            Some(_) => call.dictionary("input").cloned().map(Value::Object),
            None => Ok(json!({})),
        },
        _ => return None,
    })
}

fn is_true(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::String(text)) => !text.is_empty(),
        Some(_) => true,
    }
}
