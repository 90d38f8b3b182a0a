//! The calls that pickles of networks make, carried out on data: rebuilding tensors and parameters, empty containers,
//! and objects of `torch.nn` and of the published networks as records of their attributes. All others are refused by
//! name; no code of the file's or of Python's exists here that could run.

use super::error::WeightsError;
use super::pickle_objects::{
    GlobalName, Id, Instance, Object, Objects, Sequence, StorageName, TensorView,
};

/// Classes of Kamb & Ganguli's public code, in whatever module they were defined.
const PUBLISHED: [&str; 5] = ["DDIM", "EmbeddingModule", "MinimalResNet", "MinimalUNet", "UBlock"];

/// Most arguments of a call, axes of a tensor, and bytes of a storage's name. What is copied for each call is therefore
/// small, however often a pickle uses the same arguments.
const ARGUMENTS_MAX: usize = 16;
const AXES_MAX: usize = 8;
pub const KEY_BYTES_MAX: usize = 64;

fn damaged(problem: impl Into<String>) -> WeightsError {
    WeightsError::damaged(problem)
}

/// The result of calling `function` with the tuple `arguments`.
///
/// # Errors
///
/// If the function is none of those listed above, or its arguments make no sense.
pub fn call(
    objects: &mut Objects,
    function: &GlobalName,
    arguments: Id,
) -> Result<Id, WeightsError> {
    let items = objects.items(arguments).filter(|items| items.len() <= ARGUMENTS_MAX);
    let Some(items) = items.map(<[Id]>::to_vec) else {
        return Err(damaged("its pickle makes a call without a tuple of arguments"));
    };
    let made = match (function.module.as_str(), function.name.as_str()) {
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => {
            Object::Tensor(Box::new(tensor(objects, &items)?))
        }
        // The value of a parameter is its first argument; the rest is about training.
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
            let first = items.first().filter(|&&id| matches!(objects.get(id), Object::Tensor(_)));
            return first.copied().ok_or_else(|| damaged("it has a parameter without a tensor"));
        }
        // (function, class, arguments, attributes): a tensor with attributes of its own.
        ("torch._tensor", "_rebuild_from_type_v2") => {
            let [inner, _, arguments, ..] = items[..] else {
                return Err(damaged("it has a tensor without a storage"));
            };
            let rebuilds = |name: &&GlobalName| {
                name.module == "torch._utils" && name.name.starts_with("_rebuild_")
            };
            let Some(inner) = objects.global(inner).filter(rebuilds).cloned() else {
                return Err(damaged("it has a tensor without a storage"));
            };
            return call(objects, &inner, arguments);
        }
        ("collections", "OrderedDict") => match items[..] {
            [] => Object::Dict(Vec::new()),
            [pairs] => return into_dict(objects, pairs),
            _ => return Err(damaged("it has a dictionary of more than one list")),
        },
        ("builtins", "set" | "frozenset" | "list" | "tuple") | ("torch", "Size") => match items[..]
        {
            [] => Object::Sequence(Sequence::List, Vec::new()),
            // The same items, under one more name: a copy for every call could take any amount of memory.
            [all] if objects.items(all).is_some() => return Ok(all),
            _ => return Err(damaged("its pickle makes a list of something that is none")),
        },
        ("torch", "device") => Object::None,
        // (class, base, state), as protocols before 2 write objects.
        ("copyreg", "_reconstructor") => {
            let class = items.first().and_then(|&class| objects.global(class));
            let class =
                class.ok_or_else(|| damaged("its pickle makes an object without a class"))?;
            new_instance(&class.clone())?
        }
        _ if is_known_class(function) => new_instance(function)?,
        _ => return Err(WeightsError::Call { function: shown(&function.dotted()) }),
    };
    objects.add(made)
}

/// An object of `class` whose constructor was not called, as `copyreg.__newobj__` makes it.
///
/// # Errors
///
/// If the class is not known.
pub fn new_instance(class: &GlobalName) -> Result<Object, WeightsError> {
    if class.module == "collections" && class.name == "OrderedDict" {
        return Ok(Object::Dict(Vec::new()));
    }
    match is_known_class(class) {
        true => Ok(Object::Instance(Box::new(Instance { class: class.clone(), state: None }))),
        false => Err(WeightsError::Class { class: shown(&class.dotted()) }),
    }
}

/// Gives an object its attributes.
///
/// # Errors
///
/// If it is not one that has any.
pub fn build(objects: &mut Objects, object: Id, state: Id) -> Result<(), WeightsError> {
    match objects.get_mut(object) {
        Object::Instance(instance) => instance.state = Some(state),
        // A state_dict's `_metadata`, and attributes of tensors.
        Object::Dict(_) | Object::Tensor(_) => {}
        Object::Global(name) => {
            return Err(WeightsError::Call {
                function: shown(&format!("{}.__setstate__", name.dotted())),
            });
        }
        _ => return Err(damaged("its pickle gives attributes to something that has none")),
    }
    Ok(())
}

/// What a persistent name stands for: a storage, or, in files from before PyTorch 1.6, a class with its source text.
///
/// # Errors
///
/// If it stands for anything else.
pub fn persistent(objects: &Objects, name: Id) -> Result<Object, WeightsError> {
    let unknown = || damaged("its pickle refers to something outside that is no storage");
    let items = objects.items(name).ok_or_else(unknown)?;
    match (items.first().and_then(|&kind| objects.text(kind)), items) {
        (Some("module"), &[_, class, ..]) => {
            let class = objects.global(class).ok_or_else(unknown)?;
            Ok(Object::Global(Box::new(class.clone())))
        }
        (Some("storage"), &[_, kind, key, _, n, ..]) => {
            // A view of another storage, which files before PyTorch 0.4 had.
            if let Some(&view) = items.get(5)
                && *objects.get(view) != Object::None
            {
                return Err(WeightsError::Unsupported { what: "views of storages".to_owned() });
            }
            let kind = objects.global(kind).ok_or_else(unknown)?;
            let key = match objects.get(key) {
                Object::Text(key) if key.len() <= KEY_BYTES_MAX => key.to_string(),
                Object::Int(key) => key.to_string(),
                _ => return Err(unknown()),
            };
            let n_elements = objects.size(n).ok_or_else(unknown)?;
            Ok(Object::Storage(Box::new(StorageName { key, kind: kind.name.clone(), n_elements })))
        }
        _ => Err(unknown()),
    }
}

/// `(storage, offset, shape, strides, ...)`.
fn tensor(objects: &Objects, items: &[Id]) -> Result<TensorView, WeightsError> {
    let wrong = || damaged("it has a tensor whose storage, shape or strides make no sense");
    let &[storage, offset, shape, strides, ..] = items else { return Err(wrong()) };
    let Object::Storage(storage) = objects.get(storage) else { return Err(wrong()) };
    let sizes = |id| {
        let is_short = objects.items(id).is_some_and(|items| items.len() <= AXES_MAX);
        if is_short { objects.sizes(id).ok_or_else(wrong) } else { Err(wrong()) }
    };
    let (shape, strides) = (sizes(shape)?, sizes(strides)?);
    let offset = objects.size(offset).ok_or_else(wrong)?;
    if shape.len() != strides.len() {
        return Err(wrong());
    }
    Ok(TensorView { storage: (**storage).clone(), offset, shape, strides })
}

/// Makes a list of pairs a dictionary, in its place.
fn into_dict(objects: &mut Objects, pairs: Id) -> Result<Id, WeightsError> {
    let pair = |&id: &Id| match objects.items(id) {
        Some(&[key, value]) => Some((key, value)),
        _ => None,
    };
    let entries = objects.items(pairs).and_then(|pairs| pairs.iter().map(pair).collect());
    let entries = entries.ok_or_else(|| damaged("it has a dictionary that is no list of pairs"))?;
    *objects.get_mut(pairs) = Object::Dict(entries);
    Ok(pairs)
}

fn is_known_class(class: &GlobalName) -> bool {
    let is_of_torch = ["torch.nn.modules.", "torch.nn.parallel."]
        .iter()
        .any(|module| class.module.starts_with(module));
    is_of_torch || PUBLISHED.contains(&class.name.as_str())
}

/// A name from a file, short and on one line.
fn shown(name: &str) -> String {
    const LENGTH_MAX: usize = 120;
    let name: String = name.chars().take(LENGTH_MAX).collect();
    name.escape_debug().to_string()
}
