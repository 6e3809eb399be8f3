// A study as its TOML file says it: a base config, axes of named settings, seeds, tasks, and the claims that it tests. README.md in
// this folder has the format.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "launch/study/cells.h"
#include "launch/study/claim.h"

namespace lacuna {

struct StudyOptions {
  std::string name, title, base;
  std::string out = "runs/studies";
  std::vector<int64_t> seeds = {1, 2, 3};
  std::vector<std::string> set, tasks, evaluate_set;
  std::vector<std::string> curves = {"train/loss", "loss/loss"};
  int64_t ranks = 1, parallel = 1;
  std::vector<std::string> mpirun = {"mpirun"};
  double tolerance = 0.05;
};
template <class Visitor>
void describe(Visitor& visit, StudyOptions& o) {
  visit("name", o.name, "the study's folder is out/name");
  visit("title", o.title, "heading of the report");
  visit("base", o.base, "config that every cell starts with; relative to this file");
  visit("out", o.out, "folder of studies, relative to the current folder");
  visit("seeds", o.seeds, "run.seed of each repetition; three or more decide a claim", at_least(0));
  visit("set", o.set, "section.key=value for every cell, before those of its arms");
  visit("tasks", o.tasks, "evaluations after training; evaluate.tasks of the config where there are none");
  visit("evaluate_set", o.evaluate_set, "section.key=value for these evaluations");
  visit("curves", o.curves, "what the report draws against tokens and FLOPs: train/NAME, or TASK/NAME of evaluate.tasks");
  visit("ranks", o.ranks, "ranks of a cell; more than 1 start it with mpirun", between(1, 1 << 20));
  visit("parallel", o.parallel, "cells that run at a time", between(1, 1 << 10));
  visit("mpirun", o.mpirun, "launcher and its options, before -n RANKS");
  visit("tolerance", o.tolerance, "relative difference of tokens, FLOPs or parameters up to which arms count as matched", at_least(0));
}

struct Study {
  StudyOptions options;
  std::filesystem::path file, base;  // absolute
  std::vector<std::string> sets;     // of the command line, for every cell, after all others
  std::vector<std::string> axes;
  std::vector<Cell> cells;
  std::vector<Claim> claims;

  std::filesystem::path folder() const { return std::filesystem::absolute(options.out) / options.name; }
  const Cell& cell(const std::string& name) const;  // that there is
};

// `sets`: section.key=value of the command line; study.key changes the study itself, all others go to every cell. Throws usage
// Errors with file:line:column and the mend.
Study read_study(const std::filesystem::path& file, const std::vector<std::string>& sets);

}  // namespace lacuna
