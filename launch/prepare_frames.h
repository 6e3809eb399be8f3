// The part of `lacuna prepare` for recordings and pictures.
#pragma once
#include <memory>

#include "launch/commands.h"

namespace lacuna {

// What the options of these kinds say, once the command line is read.
class FramesCommand {
 public:
  explicit FramesCommand(CLI::App& command);
  bool chosen() const;  // --audio or --images was given
  int run(const std::string& out, bool force, bool json) const;
  // Options that belong to frames alone; a text's are refused beside them.
  const std::vector<CLI::Option*>& sources() const { return sources_; }

 private:
  struct Arguments;
  std::shared_ptr<Arguments> arguments_;
  std::vector<CLI::Option*> sources_;
};

}  // namespace lacuna
