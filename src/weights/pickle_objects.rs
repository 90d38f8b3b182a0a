//! The objects that a pickle describes, as data in one list: an object refers to others by their index, so objects that
//! are shared or contain themselves cost nothing extra, and nothing has to be copied, compared or freed recursively.

use super::error::WeightsError;

/// Most objects of one pickle. A whole UNet takes about ten thousand.
const OBJECTS_MAX: usize = 200_000;

/// Most bytes of a function's or class's name with its module.
const NAME_BYTES_MAX: usize = 256;

/// Index of an object in its [`Objects`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id(u32);

/// A Python name, `module.name`. It is never looked up anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalName {
    pub module: String,
    pub name: String,
}

impl GlobalName {
    /// The name with its module as Python 3 calls it.
    ///
    /// # Errors
    ///
    /// If it is too long to be one: a pickle can repeat a text at no cost, but not what is made of it here.
    pub fn new(module: &str, name: &str) -> Result<Self, WeightsError> {
        if module.len() + name.len() > NAME_BYTES_MAX {
            return Err(WeightsError::TooMany { most: NAME_BYTES_MAX, what: "letters in a name" });
        }
        let module = match module {
            "__builtin__" => "builtins",
            "copy_reg" => "copyreg",
            module => module,
        };
        Ok(Self { module: module.to_owned(), name: name.to_owned() })
    }

    /// `module.name`.
    pub fn dotted(&self) -> String {
        format!("{}.{}", self.module, self.name)
    }
}

/// A block of numbers outside the pickle, to which tensors refer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageName {
    /// Its name in the file.
    pub key: String,
    /// PyTorch's name of the type, such as `FloatStorage`.
    pub kind: String,
    /// Number of elements that the pickle claims.
    pub n_elements: usize,
}

/// A view of a storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorView {
    pub storage: StorageName,
    /// Index of the first element.
    pub offset: usize,
    pub shape: Vec<usize>,
    /// Elements from one index to the next, per axis.
    pub strides: Vec<usize>,
}

/// An object of a class, as its class's name and its attributes.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    pub class: GlobalName,
    pub state: Option<Id>,
}

/// One Python object.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Box<str>),
    /// Bytes, also whole numbers of more than 64 bits.
    Bytes(Box<[u8]>),
    /// A tuple, list or set.
    Sequence(Sequence, Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Box<GlobalName>),
    Storage(Box<StorageName>),
    Tensor(Box<TensorView>),
    Instance(Box<Instance>),
}

/// Kinds of sequences; lists and sets can grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequence {
    Tuple,
    List,
    Set,
}

/// All objects of a pickle.
#[derive(Debug, Default)]
pub struct Objects {
    all: Vec<Object>,
}

impl Objects {
    /// Adds an object.
    ///
    /// # Errors
    ///
    /// If there are too many.
    pub fn add(&mut self, object: Object) -> Result<Id, WeightsError> {
        if self.all.len() >= OBJECTS_MAX {
            return Err(WeightsError::TooMany { most: OBJECTS_MAX, what: "objects" });
        }
        self.all.push(object);
        Ok(Id(self.all.len() as u32 - 1))
    }

    /// All objects, in the order in which they were made.
    pub fn all(&self) -> impl Iterator<Item = &Object> {
        self.all.iter()
    }

    pub fn get(&self, id: Id) -> &Object {
        &self.all[id.0 as usize]
    }

    pub fn get_mut(&mut self, id: Id) -> &mut Object {
        &mut self.all[id.0 as usize]
    }

    /// The items of a tuple, list or set.
    pub fn items(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Object::Sequence(_, items) => Some(items),
            _ => None,
        }
    }

    pub fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn whole(&self, id: Id) -> Option<i64> {
        match self.get(id) {
            Object::Int(value) => Some(*value),
            _ => None,
        }
    }

    pub fn size(&self, id: Id) -> Option<usize> {
        self.whole(id).and_then(|value| usize::try_from(value).ok())
    }

    /// A tuple or list of sizes.
    pub fn sizes(&self, id: Id) -> Option<Vec<usize>> {
        self.items(id)?.iter().map(|&item| self.size(item)).collect()
    }

    pub fn global(&self, id: Id) -> Option<&GlobalName> {
        match self.get(id) {
            Object::Global(name) => Some(name),
            _ => None,
        }
    }

    /// The value of a text key of a dictionary.
    pub fn entry(&self, dict: Id, key: &str) -> Option<Id> {
        let Object::Dict(entries) = self.get(dict) else { return None };
        let found = entries.iter().rev().find(|(name, _)| self.text(*name) == Some(key));
        found.map(|(_, value)| *value)
    }
}
