//! Calls of functions.

use serde_json::{Map, Value};

use super::expression::{Arguments, Function, Term};

/// A call with typed access to its arguments.
pub(super) struct Call<'a> {
    pub(super) name: &'a str,
    pub(super) arguments: &'a Arguments,
}

impl Call<'_> {
    pub(super) fn optional(&self, parameter: &str) -> Option<&Value> {
        match self.arguments.get(parameter) {
            Some(Term::Plain(value)) if !value.is_null() => Some(value),
            _ => None,
        }
    }

    pub(super) fn value(&self, parameter: &str) -> Result<&Value, String> {
        self.optional(parameter).ok_or_else(|| {
            format!(
                "{}: Parameter '{parameter}' is required and may not be null.",
                self.name
            )
        })
    }

    pub(super) fn typed<'v, T>(
        &self,
        parameter: &str,
        expected: &str,
        value: &'v Value,
        read: impl Fn(&'v Value) -> Option<T>,
    ) -> Result<T, String> {
        read(value).ok_or_else(|| {
            format!(
                "{}, argument '{parameter}': Invalid type.\nExpected type: {expected}.\n\
                 Actual type: {}.",
                self.name,
                type_of(value)
            )
        })
    }

    pub(super) fn text(&self, parameter: &str) -> Result<&str, String> {
        self.typed(parameter, "String", self.value(parameter)?, Value::as_str)
    }

    pub(super) fn list(&self, parameter: &str) -> Result<&Vec<Value>, String> {
        self.typed(parameter, "List", self.value(parameter)?, Value::as_array)
    }

    pub(super) fn dictionary(&self, parameter: &str) -> Result<&Map<String, Value>, String> {
        self.typed(
            parameter,
            "Dictionary",
            self.value(parameter)?,
            Value::as_object,
        )
    }

    pub(super) fn integer(&self, parameter: &str) -> Result<i64, String> {
        self.typed(parameter, "Integer", self.value(parameter)?, Value::as_i64)
    }

    pub(super) fn function(&self, parameter: &str) -> Result<&Function, String> {
        match self.arguments.get(parameter) {
            Some(Term::Function(function)) => Ok(function),
            _ => Err(format!(
                "{}: Parameter '{parameter}' must be a function.",
                self.name
            )),
        }
    }
}

/// Returns the name of a value's type.
pub(super) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "Null",
        Value::Bool(_) => "Boolean",
        Value::Number(number) if number.is_i64() => "Integer",
        Value::Number(_) => "Float",
        Value::String(_) => "String",
        Value::Array(_) => "List",
        Value::Object(_) => "Dictionary",
    }
}
