//! TensorBoard's messages in the encoding of Protocol Buffers: the few that scalars, pictures and hyperparameters need.
//!
//! Sources: `tensorboard/compat/proto/{event,summary,tensor}.proto`, `tensorboard/plugins/hparams/plugin_data.proto`, and
//! protobuf.dev, "Encoding". Numbers of fields are named beside their use.

/// One value of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Scalar(f32),
    /// A PNG file with its width and height.
    Picture {
        png: Vec<u8>,
        width: u32,
        height: u32,
    },
    /// Settings by name, and the time in seconds at which the run began.
    Hyperparameters {
        settings: Vec<(String, Setting)>,
        began: f64,
    },
}

/// The value of a setting.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    Number(f64),
    Text(String),
    Boolean(bool),
}

/// The first event of a file: `Event { wall_time, file_version }`.
pub fn version(wall_time: f64) -> Vec<u8> {
    let mut event = Message::default();
    event.double(1, wall_time);
    event.bytes(3, b"brain.Event:2");
    event.0
}

/// `Event { wall_time, step, summary { value.. } }`, with the time in seconds since the Unix epoch.
pub fn event(wall_time: f64, step: u64, values: &[(String, Value)]) -> Vec<u8> {
    let mut summary = Message::default();
    for (tag, value) in values {
        summary.message(1, &value_message(tag, value));
    }
    let mut event = Message::default();
    event.double(1, wall_time);
    event.number(2, step);
    event.message(5, &summary);
    event.0
}

/// `Summary.Value`.
fn value_message(tag: &str, value: &Value) -> Message {
    let mut message = Message::default();
    message.bytes(1, tag.as_bytes());
    match value {
        Value::Scalar(number) => message.float(2, *number),
        Value::Picture { png, width, height } => {
            let mut picture = Message::default();
            picture.number(1, u64::from(*height));
            picture.number(2, u64::from(*width));
            // RGB.
            picture.number(3, 3);
            picture.bytes(4, png);
            message.message(4, &picture);
        }
        Value::Hyperparameters { settings, began } => {
            message.message(8, &placeholder_tensor());
            message.message(9, &hyperparameter_metadata(settings, *began));
        }
    }
    message
}

/// `TensorProto` of one zero, which the plugin ignores but the reader expects.
fn placeholder_tensor() -> Message {
    let (mut size, mut shape, mut tensor) =
        (Message::default(), Message::default(), Message::default());
    size.number(1, 1);
    shape.message(2, &size);
    // DT_FLOAT.
    tensor.number(1, 1);
    tensor.message(2, &shape);
    tensor.float(5, 0.0);
    tensor
}

/// `SummaryMetadata { plugin_data { plugin_name, content: HParamsPluginData { session_start_info } } }`.
fn hyperparameter_metadata(settings: &[(String, Setting)], began: f64) -> Message {
    let mut start = Message::default();
    for (name, setting) in settings {
        // `google.protobuf.Value`.
        let mut value = Message::default();
        match setting {
            Setting::Number(number) => value.double(2, *number),
            Setting::Text(text) => value.bytes(3, text.as_bytes()),
            Setting::Boolean(is_set) => value.number(4, u64::from(*is_set)),
        }
        let mut entry = Message::default();
        entry.bytes(1, name.as_bytes());
        entry.message(2, &value);
        start.message(1, &entry);
    }
    start.double(5, began);
    let (mut content, mut plugin, mut metadata) =
        (Message::default(), Message::default(), Message::default());
    content.message(3, &start);
    plugin.bytes(1, b"hparams");
    plugin.message(2, &content);
    metadata.message(1, &plugin);
    metadata
}

/// A message under construction: fields one after the other, each a key (number and wire type) and a value.
#[derive(Clone, Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn key(&mut self, field: u32, wire_type: u32) {
        self.varint(u64::from(field << 3 | wire_type));
    }

    /// Seven bits a byte, the lowest first; the highest bit says that more follow.
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn number(&mut self, field: u32, number: u64) {
        self.key(field, 0);
        self.varint(number);
    }

    fn double(&mut self, field: u32, number: f64) {
        self.key(field, 1);
        self.0.extend(number.to_le_bytes());
    }

    fn float(&mut self, field: u32, number: f32) {
        self.key(field, 5);
        self.0.extend(number.to_le_bytes());
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.key(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn message(&mut self, field: u32, message: &Self) {
        self.bytes(field, &message.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_that_tensorboard_writes() {
        // google.protobuf: Event(wall_time=1.5, step=300, summary=Summary(value=[Summary.Value(tag="a", simple_value=0.5)]))
        let found = event(1.5, 300, &[("a".to_owned(), Value::Scalar(0.5))]);
        let hex: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "09000000000000f83f10ac022a0a0a080a0161150000003f");
        let first: String = version(1.5).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(first, "09000000000000f83f1a0d627261696e2e4576656e743a32");
    }
}
