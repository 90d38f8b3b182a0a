//! Reads pickles, Python's format of objects, as data.
//!
//! A pickle is a program for a stack machine. In Python it may look up any function and call it. Here a function's name
//! is only a name: the few calls that make tensors, dictionaries and objects of networks are carried out by
//! [`super::permitted_calls`] on data of our own, and any other ends the reading with the name of what was to be called.
//! Opcodes as in CPython's `Lib/pickletools.py`, protocols 0 to 5. Time and memory grow in proportion to the bytes.

use std::collections::HashMap;

use super::error::WeightsError;
use super::permitted_calls::{build, call, new_instance, persistent};
use super::pickle_bytes::{PickleBytes, signed, utf8};
use super::pickle_objects::{GlobalName, Id, Object, Objects, Sequence};

/// Most places of the stack, and of the memo.
const PLACES_MAX: usize = 200_000;

/// A pickle that was read.
pub struct Pickled {
    pub objects: Objects,
    /// What `pickle.load` would return.
    pub root: Id,
    /// Bytes of the pickle; more may follow it.
    pub n_bytes: usize,
}

/// Reads the pickle that `bytes` start with.
///
/// # Errors
///
/// If it wants to call anything but what [`super::permitted_calls`] lists, if it is damaged, or too large.
pub fn read(bytes: &[u8]) -> Result<Pickled, WeightsError> {
    let mut machine = Machine {
        bytes: PickleBytes::new(bytes),
        objects: Objects::default(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    while machine.step()? {}
    let root = machine.pop()?;
    Ok(Pickled { objects: machine.objects, root, n_bytes: machine.bytes.at() })
}

struct Machine<'a> {
    bytes: PickleBytes<'a>,
    objects: Objects,
    stack: Vec<Id>,
    /// Heights of the stack at the marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

fn damaged(problem: &str) -> WeightsError {
    WeightsError::damaged(format!("its pickle {problem}"))
}

impl Machine<'_> {
    /// Carries out one opcode; false at the end.
    fn step(&mut self) -> Result<bool, WeightsError> {
        let opcode = self.bytes.byte()?;
        match opcode {
            b'.' => return Ok(false),
            // PROTO and FRAME say nothing that matters here.
            0x80 => drop(self.bytes.byte()?),
            0x95 => drop(self.bytes.take(8)?),
            b'(' => {
                self.check_room(self.marks.len())?;
                self.marks.push(self.stack.len());
            }
            b'0' => drop(self.pop()?),
            b'1' => drop(self.above_mark()?),
            b'2' => {
                let top = self.top()?;
                self.push_id(top)?;
            }
            b'N' => self.push(Object::None)?,
            0x88 => self.push(Object::Bool(true))?,
            0x89 => self.push(Object::Bool(false))?,
            b'I' | b'L' | b'J' | b'K' | b'M' | 0x8a | 0x8b | b'F' | b'G' => self.number(opcode)?,
            b'S' | b'T' | b'U' | b'V' | b'X' | 0x8c | 0x8d | b'B' | b'C' | 0x8e => {
                self.text(opcode)?;
            }
            b'p' | b'q' | b'r' | 0x94 | b'g' | b'h' | b'j' => self.remember(opcode)?,
            b')' | b't' | 0x85..=0x87 | b']' | b'l' | b'}' | b'd' | 0x8f | 0x91 => {
                self.collect(opcode)?;
            }
            b'a' | b'e' | 0x90 | b's' | b'u' => self.extend(opcode)?,
            _ => self.construct(opcode)?,
        }
        Ok(true)
    }

    /// Opcodes that name functions and classes, and would call them.
    fn construct(&mut self, opcode: u8) -> Result<(), WeightsError> {
        match opcode {
            b'c' => {
                let name = self.global_of_lines()?;
                self.push(Object::Global(Box::new(name)))
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Some(module), Some(name)) =
                    (self.objects.text(module), self.objects.text(name))
                else {
                    return Err(damaged("names a function by something that is no text"));
                };
                let name = GlobalName::new(module, name)?;
                self.push(Object::Global(Box::new(name)))
            }
            b'R' => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let function = self.callable(function)?;
                self.call(&function, arguments)
            }
            b'i' => {
                let function = self.global_of_lines()?;
                let items = self.above_mark()?;
                let arguments = self.objects.add(Object::Sequence(Sequence::Tuple, items))?;
                self.call(&function, arguments)
            }
            b'o' => {
                let mut items = self.above_mark()?;
                if items.is_empty() {
                    return Err(damaged("makes an object without a class"));
                }
                let function = self.callable(items.remove(0))?;
                let arguments = self.objects.add(Object::Sequence(Sequence::Tuple, items))?;
                self.call(&function, arguments)
            }
            0x81 | 0x92 => {
                if opcode == 0x92 {
                    self.pop()?;
                }
                let (_, class) = (self.pop()?, self.pop()?);
                let class = self.callable(class)?;
                let made = new_instance(&class)?;
                self.push(made)
            }
            b'b' => {
                let state = self.pop()?;
                let object = self.top()?;
                build(&mut self.objects, object, state)
            }
            b'Q' => {
                let name = self.pop()?;
                let found = persistent(&self.objects, name)?;
                self.push(found)
            }
            b'P' | 0x82..=0x84 | 0x96..=0x98 => {
                let what =
                    format!("an opcode of pickles, 0x{opcode:02x}, that torch.save never writes");
                Err(WeightsError::Unsupported { what })
            }
            _ => Err(damaged(&format!("has the opcode 0x{opcode:02x}, which does not exist"))),
        }
    }

    fn global_of_lines(&mut self) -> Result<GlobalName, WeightsError> {
        let module = utf8(self.bytes.line()?)?;
        let name = utf8(self.bytes.line()?)?;
        GlobalName::new(module, name)
    }

    fn callable(&self, id: Id) -> Result<GlobalName, WeightsError> {
        let found = self.objects.global(id).cloned();
        found.ok_or_else(|| damaged("calls something that is no function or class"))
    }

    fn call(&mut self, function: &GlobalName, arguments: Id) -> Result<(), WeightsError> {
        let made = call(&mut self.objects, function, arguments)?;
        self.push_id(made)
    }

    fn number(&mut self, opcode: u8) -> Result<(), WeightsError> {
        let object = match opcode {
            b'J' => Object::Int(i64::from(self.bytes.unsigned(4)? as u32 as i32)),
            b'K' => Object::Int(self.bytes.unsigned(1)? as i64),
            b'M' => Object::Int(self.bytes.unsigned(2)? as i64),
            0x8a | 0x8b => {
                let bytes = self.bytes.counted(if opcode == 0x8a { 1 } else { 4 })?;
                signed(bytes).map_or_else(|| Object::Bytes(bytes.into()), Object::Int)
            }
            b'G' => Object::Float(f64::from_bits(self.bytes.unsigned(8)?.swap_bytes())),
            b'F' => Object::Float(self.parsed()?),
            _ => {
                let line = utf8(self.bytes.line()?)?;
                match (opcode, line) {
                    // Protocol 0 writes False and True so.
                    (b'I', "00") => Object::Bool(false),
                    (b'I', "01") => Object::Bool(true),
                    (_, line) => Object::Int(parse(line.trim_end_matches('L'))?),
                }
            }
        };
        self.push(object)
    }

    fn parsed<T: std::str::FromStr>(&mut self) -> Result<T, WeightsError> {
        parse(utf8(self.bytes.line()?)?)
    }

    fn text(&mut self, opcode: u8) -> Result<(), WeightsError> {
        let text = |bytes| Ok(Object::Text(utf8(bytes)?.into()));
        let object = match opcode {
            b'X' => text(self.bytes.counted(4)?),
            0x8c => text(self.bytes.counted(1)?),
            0x8d => text(self.bytes.counted(8)?),
            // Texts of Python 2 are bytes; names of weights are ASCII.
            b'U' => text(self.bytes.counted(1)?),
            b'T' => text(self.bytes.counted(4)?),
            b'V' => text(self.bytes.line()?),
            b'S' => {
                let line = utf8(self.bytes.line()?)?;
                let inner = ['\'', '"'].iter().find_map(|quote| {
                    line.strip_prefix(*quote).and_then(|rest| rest.strip_suffix(*quote))
                });
                let inner = inner.ok_or_else(|| damaged("has a text without quotes"))?;
                Ok(Object::Text(inner.into()))
            }
            b'C' => Ok(Object::Bytes(self.bytes.counted(1)?.into())),
            b'B' => Ok(Object::Bytes(self.bytes.counted(4)?.into())),
            _ => Ok(Object::Bytes(self.bytes.counted(8)?.into())),
        };
        self.push(object?)
    }

    /// The memo: numbered objects that are used again.
    fn remember(&mut self, opcode: u8) -> Result<(), WeightsError> {
        let number = match opcode {
            b'p' | b'g' => self.parsed()?,
            b'q' | b'h' => self.bytes.unsigned(1)? as u32,
            b'r' | b'j' => self.bytes.unsigned(4)? as u32,
            _ => self.memo.len() as u32,
        };
        if matches!(opcode, b'g' | b'h' | b'j') {
            let found = self.memo.get(&number).copied();
            let found =
                found.ok_or_else(|| damaged(&format!("uses object {number} before it is made")))?;
            return self.push_id(found);
        }
        self.check_room(self.memo.len())?;
        self.memo.insert(number, self.top()?);
        Ok(())
    }

    /// Makes a sequence or a dictionary.
    fn collect(&mut self, opcode: u8) -> Result<(), WeightsError> {
        use Sequence::{List, Set, Tuple};
        let object = match opcode {
            b')' => Object::Sequence(Tuple, Vec::new()),
            b']' => Object::Sequence(List, Vec::new()),
            0x8f => Object::Sequence(Set, Vec::new()),
            b'}' => Object::Dict(Vec::new()),
            b't' => Object::Sequence(Tuple, self.above_mark()?),
            b'l' => Object::Sequence(List, self.above_mark()?),
            0x91 => Object::Sequence(Set, self.above_mark()?),
            b'd' => {
                let items = self.above_mark()?;
                Object::Dict(pairs(&items)?)
            }
            _ => {
                let n = usize::from(opcode - 0x84);
                let at = self.stack.len().checked_sub(n);
                let at = at.filter(|at| self.marks.last().is_none_or(|mark| mark <= at));
                let at = at.ok_or_else(|| damaged("takes from an empty stack"))?;
                Object::Sequence(Tuple, self.stack.split_off(at))
            }
        };
        self.push(object)
    }

    /// Adds to a list, set or dictionary.
    fn extend(&mut self, opcode: u8) -> Result<(), WeightsError> {
        let items = match opcode {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.above_mark()?,
        };
        let target = self.top()?;
        match (opcode, self.objects.get_mut(target)) {
            (b'a' | b'e', Object::Sequence(Sequence::List, list))
            | (0x90, Object::Sequence(Sequence::Set, list)) => list.extend(items),
            (b's' | b'u', Object::Dict(entries)) => entries.extend(pairs(&items)?),
            _ => return Err(damaged("adds items to something that takes none")),
        }
        Ok(())
    }

    fn check_room(&self, n: usize) -> Result<(), WeightsError> {
        match n < PLACES_MAX {
            true => Ok(()),
            false => Err(WeightsError::TooMany { most: PLACES_MAX, what: "objects at a time" }),
        }
    }

    fn push(&mut self, object: Object) -> Result<(), WeightsError> {
        let id = self.objects.add(object)?;
        self.push_id(id)
    }

    fn push_id(&mut self, id: Id) -> Result<(), WeightsError> {
        self.check_room(self.stack.len())?;
        self.stack.push(id);
        Ok(())
    }

    /// The top of the stack, above the last mark.
    fn top(&self) -> Result<Id, WeightsError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let top = self.stack.get(floor..).and_then(<[Id]>::last).copied();
        top.ok_or_else(|| damaged("takes from an empty stack"))
    }

    fn pop(&mut self) -> Result<Id, WeightsError> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn above_mark(&mut self) -> Result<Vec<Id>, WeightsError> {
        let mark = self.marks.pop().ok_or_else(|| damaged("collects items without a beginning"))?;
        Ok(self.stack.split_off(mark))
    }
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T, WeightsError> {
    text.parse()
        .map_err(|_| damaged(&format!("has '{}' where a number belongs", text.escape_debug())))
}

/// Keys and values, which alternate.
fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, WeightsError> {
    let (pairs, rest) = items.as_chunks::<2>();
    match rest.is_empty() {
        true => Ok(pairs.iter().map(|&[key, value]| (key, value)).collect()),
        false => Err(damaged("has a key without a value")),
    }
}
