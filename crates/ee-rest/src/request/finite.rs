//! JSON of finite numbers. Serde writes NaN and infinities as `null`, which the API reads as 0.

use serde::ser::{
    Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use serde_json::Value;

use crate::Error;

/// Returns the JSON value of `what`.
///
/// # Errors
/// Returns [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) if it cannot be
/// serialized or contains a number that is not finite.
pub(crate) fn to_value(what: &str, value: impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(Checked(&value)).map_err(|error| Error::not_json(what, error))
}

/// Returns the JSON text of `what`.
///
/// # Errors
/// As [`to_value`].
pub(crate) fn to_vec(what: &str, value: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(&Checked(value)).map_err(|error| Error::not_json(what, error))
}

/// Returns a value that contains no null. `serde_json::json!` writes null for numbers that are not
/// finite.
///
/// # Errors
/// Returns [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest) if there is a null.
pub(crate) fn without_null(what: &str, value: Value) -> Result<Value, Error> {
    fn has_null(value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::Array(items) => items.iter().any(has_null),
            Value::Object(fields) => fields.values().any(has_null),
            _ => false,
        }
    }
    match has_null(&value) {
        false => Ok(value),
        true => Err(Error::invalid_request(
            format!("{what} contains null, which the API reads as 0"),
            "Use finite numbers, and leave out what is not set.",
        )),
    }
}

/// A value, each part of which is serialized by [`Finite`].
struct Checked<'a, T: ?Sized>(&'a T);

impl<T: Serialize + ?Sized> Serialize for Checked<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(Finite(serializer))
    }
}

/// A serializer that rejects numbers that are not finite.
struct Finite<S>(S);

macro_rules! forward {
    ($($method:ident($kind:ty)),* $(,)?) => {
        $(fn $method(self, value: $kind) -> Result<S::Ok, S::Error> {
            self.0.$method(value)
        })*
    };
}

impl<S: Serializer> Serializer for Finite<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Finite<S::SerializeSeq>;
    type SerializeTuple = Finite<S::SerializeTuple>;
    type SerializeTupleStruct = Finite<S::SerializeTupleStruct>;
    type SerializeTupleVariant = Finite<S::SerializeTupleVariant>;
    type SerializeMap = Finite<S::SerializeMap>;
    type SerializeStruct = Finite<S::SerializeStruct>;
    type SerializeStructVariant = Finite<S::SerializeStructVariant>;

    forward! {
        serialize_bool(bool), serialize_i8(i8), serialize_i16(i16), serialize_i32(i32),
        serialize_i64(i64), serialize_i128(i128), serialize_u8(u8), serialize_u16(u16),
        serialize_u32(u32), serialize_u64(u64), serialize_u128(u128), serialize_char(char),
        serialize_str(&str), serialize_bytes(&[u8]), serialize_unit_struct(&'static str),
    }

    fn serialize_f32(self, value: f32) -> Result<S::Ok, S::Error> {
        self.serialize_f64(f64::from(value))
    }

    fn serialize_f64(self, value: f64) -> Result<S::Ok, S::Error> {
        if value.is_finite() {
            self.0.serialize_f64(value)
        } else {
            Err(S::Error::custom(format!("{value} is not a number of JSON")))
        }
    }

    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.0.serialize_none()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.serialize_some(&Checked(value))
    }

    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.0.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_unit_variant(name, index, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_newtype_struct(name, &Checked(value))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.0
            .serialize_newtype_variant(name, index, variant, &Checked(value))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        self.0.serialize_seq(len).map(Finite)
    }

    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
        self.0.serialize_tuple(len).map(Finite)
    }

    fn serialize_tuple_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, S::Error> {
        self.0.serialize_tuple_struct(name, len).map(Finite)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        let inner = self.0.serialize_tuple_variant(name, index, variant, len);
        inner.map(Finite)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        self.0.serialize_map(len).map(Finite)
    }

    fn serialize_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStruct, S::Error> {
        self.0.serialize_struct(name, len).map(Finite)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        let inner = self.0.serialize_struct_variant(name, index, variant, len);
        inner.map(Finite)
    }
}

macro_rules! elements {
    ($($of:ident: $method:ident),* $(,)?) => {
        $(impl<S: $of> $of for Finite<S> {
            type Ok = S::Ok;
            type Error = S::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
                self.0.$method(&Checked(value))
            }

            fn end(self) -> Result<S::Ok, S::Error> {
                self.0.end()
            }
        })*
    };
}

elements! {
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field,
}

macro_rules! fields {
    ($($of:ident),*) => {
        $(impl<S: $of> $of for Finite<S> {
            type Ok = S::Ok;
            type Error = S::Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), S::Error> {
                self.0.serialize_field(name, &Checked(value))
            }

            fn end(self) -> Result<S::Ok, S::Error> {
                self.0.end()
            }
        })*
    };
}

fields!(SerializeStruct, SerializeStructVariant);

impl<S: SerializeMap> SerializeMap for Finite<S> {
    type Ok = S::Ok;
    type Error = S::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), S::Error> {
        self.0.serialize_key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        self.0.serialize_value(&Checked(value))
    }

    fn end(self) -> Result<S::Ok, S::Error> {
        self.0.end()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    #[derive(serde::Serialize)]
    enum Shape {
        Point(f64),
        Line(f64, f64),
        Circle { radius: f32 },
        Empty,
    }

    #[derive(serde::Serialize)]
    struct Everything<'a> {
        shapes: [Shape; 4],
        tuple: (u8, Option<f64>, &'a str),
        map: BTreeMap<&'a str, Vec<f64>>,
        value: Value,
    }

    fn everything(number: f64) -> Everything<'static> {
        Everything {
            shapes: [
                Shape::Point(1.5),
                Shape::Line(0.0, number),
                Shape::Circle { radius: 2.0 },
                Shape::Empty,
            ],
            tuple: (1, Some(2.0), "x"),
            map: [("a", vec![3.0])].into(),
            value: json!({"b": [null, true]}),
        }
    }

    #[test]
    fn finite_numbers_are_written_as_by_serde() {
        let value = everything(1e300);
        assert_eq!(
            to_value("it", &value).unwrap(),
            serde_json::to_value(&value).unwrap()
        );
        assert_eq!(
            to_vec("it", &value).unwrap(),
            serde_json::to_vec(&value).unwrap()
        );
    }

    #[test]
    fn null_is_rejected_at_any_depth() {
        for value in [
            json!(null),
            json!([0, f64::NAN]),
            json!({"a": [{"b": null}]}),
        ] {
            assert!(without_null("it", value).is_err());
        }
        let value = json!({"a": [{"b": 0}], "c": "", "d": false});
        assert_eq!(without_null("it", value.clone()).unwrap(), value);
    }

    #[test]
    fn numbers_that_are_not_finite_are_rejected_at_any_depth() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(to_value("it", everything(number)).is_err());
            assert!(to_vec("it", &[Some(number)]).is_err());
            assert!(to_value("it", Shape::Point(number)).is_err());
            let radius = number as f32;
            assert!(to_value("it", Shape::Circle { radius }).is_err());
            assert!(to_value("it", BTreeMap::from([("a", (0, number))])).is_err());
        }
    }
}
