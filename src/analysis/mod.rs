//! Analysis: what samples and maps say - agreement, judged creativity, entropy, provenance.
