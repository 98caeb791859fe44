//! The program as its users meet it: exit codes, documents on stdout, words on stderr, files that stay whole.

mod accounting;
mod answer;
mod bad_input;
mod checkpoints;
mod compare;
mod config;
mod exported;
mod finetune;
mod interrupted;
mod killed;
mod paradigms;
mod parallel;
mod quality;
mod road;
mod serve;
mod support;
mod surface;
