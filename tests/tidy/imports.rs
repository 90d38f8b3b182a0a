//! Dependencies between the files of `src`, from the syntax tree: `use` trees, paths in code and paths in
//! macros.
//!
//! Unit tests (`#[cfg(test)]`) do not count. A path to an item in a module counts for the file of that module.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree};

/// A module by its path, e.g. `["theory", "gpu"]`; empty for the crate's root.
pub type Module = Vec<String>;

/// Modules that have a file, with the modules that each uses.
pub type Graph = BTreeMap<Module, BTreeSet<Module>>;

/// Builds the graph of files from each module's path and text.
pub fn graph(files: &[(Module, String)]) -> Graph {
    let known: BTreeSet<Module> = files.iter().map(|(module, _)| module.clone()).collect();
    let edges = |(module, text): &(Module, String)| {
        let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{module:?}: {error}"));
        let mut paths = Paths::default();
        paths.visit_file(&file);
        let uses = paths.found.iter().filter_map(|path| target(module, path, &known));
        (module.clone(), uses.filter(|used| used != module).collect())
    };
    files.iter().map(edges).collect()
}

/// Cycles: groups of files that use each other, directly or indirectly.
pub fn circles(graph: &Graph) -> Vec<Vec<Module>> {
    let reach: BTreeMap<&Module, BTreeSet<&Module>> =
        graph.keys().map(|module| (module, reachable(graph, module))).collect();
    let mut seen = BTreeSet::new();
    let mut circles = Vec::new();
    for module in graph.keys().filter(|module| reach[module].contains(module)) {
        let circle: Vec<Module> = graph
            .keys()
            .filter(|other| reach[module].contains(other) && reach[other].contains(module))
            .cloned()
            .collect();
        if seen.insert(circle.clone()) {
            circles.push(circle);
        }
    }
    circles
}

fn reachable<'a>(graph: &'a Graph, from: &'a Module) -> BTreeSet<&'a Module> {
    let mut found = BTreeSet::new();
    let mut pending: Vec<&Module> = graph[from].iter().collect();
    while let Some(module) = pending.pop() {
        if found.insert(module) {
            pending.extend(&graph[module]);
        }
    }
    found
}

/// The file that a path used in `module` refers to.
fn target(module: &Module, path: &[String], known: &BTreeSet<Module>) -> Option<Module> {
    let (mut at, mut rest) = match path.first()?.as_str() {
        "crate" => (Module::new(), &path[1..]),
        "self" | "super" => (module.clone(), path),
        // A child of this module; any other first segment is a crate, an import or a local name.
        first => {
            let mut child = module.clone();
            child.push(first.to_owned());
            known.contains(&child).then_some((module.clone(), path))?
        }
    };
    while let Some(first) = rest.first().filter(|first| matches!(first.as_str(), "self" | "super"))
    {
        if first == "super" {
            at.pop();
        }
        rest = &rest[1..];
    }
    for segment in rest {
        let mut child = at.clone();
        child.push(segment.clone());
        if !known.contains(&child) {
            break;
        }
        at = child;
    }
    (!at.is_empty() && known.contains(&at)).then_some(at)
}

#[derive(Default)]
struct Paths {
    found: Vec<Vec<String>>,
}

fn is_of_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

impl Paths {
    fn tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: String| before.iter().cloned().chain([name]).collect::<Vec<_>>();
        match tree {
            UseTree::Path(path) => self.tree(&with(path.ident.to_string()), &path.tree),
            UseTree::Name(name) => self.found.push(with(name.ident.to_string())),
            UseTree::Rename(name) => self.found.push(with(name.ident.to_string())),
            UseTree::Glob(_) => self.found.push(before.to_vec()),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(before, tree)),
        }
    }

    /// Visits `crate::a::b`, `super::c` and `self::d` in a macro's arguments.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => {
                    colons += 1
                }
                TokenTree::Ident(ident) if !path.is_empty() && colons == 2 => {
                    path.push(ident.to_string());
                    colons = 0;
                }
                other => {
                    self.found.extend((!path.is_empty()).then(|| std::mem::take(&mut path)));
                    colons = 0;
                    match other {
                        TokenTree::Ident(ident)
                            if ["crate", "super", "self"].iter().any(|root| ident == root) =>
                        {
                            path.push(ident.to_string());
                        }
                        TokenTree::Group(group) => self.tokens(group.stream()),
                        _ => {}
                    }
                }
            }
        }
        self.found.extend((path.len() > 1).then_some(path));
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_of_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names = path.segments.iter().map(|segment| segment.ident.to_string());
        self.found.push(names.collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, found: &'ast syn::Macro) {
        self.visit_path(&found.path);
        self.tokens(found.tokens.clone());
    }

    /// Skipped, because `pub(super)` is not a use.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}

#[test]
fn every_kind_of_use_is_seen() {
    let file = |path: &str, text: &str| {
        (path.split("::").map(str::to_owned).collect::<Module>(), text.to_owned())
    };
    let user = "use crate::{b::{self, X}, c as d};\n\
                // crate::nothing\n\
                fn f() -> super::e::Y { assert!(crate::g::z(), \"crate::nothing\"); h::w() }\n\
                pub(crate) mod h;\n\
                #[cfg(test)]\nmod tests { use crate::nothing::V; }\n\
                #[cfg(feature = \"cuda\")]\nuse crate::i::U;";
    let names = ["b", "c", "e", "g", "a::h", "i", "nothing"];
    let files: Vec<_> =
        [file("a", user)].into_iter().chain(names.map(|name| file(name, ""))).collect();
    let found: Vec<String> =
        graph(&files)[&vec!["a".to_owned()]].iter().map(|module| module.join("::")).collect();
    assert_eq!(found, ["a::h", "b", "c", "e", "g", "i"]);
}

#[test]
fn circles_are_found() {
    let module = |name: &str| vec![name.to_owned()];
    let edges = [("a", vec!["b"]), ("b", vec!["c"]), ("c", vec!["b"]), ("d", vec!["a"])];
    let graph: Graph = edges
        .into_iter()
        .map(|(from, to)| (module(from), to.into_iter().map(module).collect()))
        .collect();
    assert_eq!(circles(&graph), [[module("b"), module("c")]]);
}
