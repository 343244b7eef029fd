mod harness;
mod rules;
