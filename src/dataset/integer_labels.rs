//! Integers as class labels, which are bytes in the lab.

/// Labels of a data set made from integers, and what a user should know about them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IntegerLabels {
    /// `None` if they cannot be used.
    pub labels: Option<Vec<u8>>,
    pub notice: Option<String>,
}

impl IntegerLabels {
    /// Labels from 0 to 255 are taken as they are; with others among them, the images have no labels, which is noted.
    /// `source` is a phrase for where they are from.
    pub fn new(source: &str, integers: &[i64]) -> Self {
        let narrow: Result<Vec<u8>, usize> = integers
            .iter()
            .enumerate()
            .map(|(i, &label)| u8::try_from(label).map_err(|_| i))
            .collect();
        match narrow {
            Ok(labels) => Self { labels: Some(labels), notice: None },
            Err(i) => {
                let label = integers[i];
                let why = if label < 0 {
                    "negative labels mean that there are none"
                } else {
                    "labels are 0 to 255"
                };
                let notice = format!(
                    "the images have no labels: {source} holds '{label}' at index {i}, but {why}"
                );
                Self { labels: None, notice: Some(notice) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_are_no_bytes_are_given_up_with_a_notice() {
        assert_eq!(IntegerLabels::new("x", &[0, 255]).labels, Some(vec![0, 255]));
        for (integers, words) in [([0, -1], "'-1' at index 1"), ([999, 0], "'999' at index 0")] {
            let found = IntegerLabels::new("array 'y'", &integers);
            assert_eq!(found.labels, None);
            let notice = found.notice.unwrap();
            assert!(notice.contains("array 'y'") && notice.contains(words), "{notice}");
        }
    }
}
