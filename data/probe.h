// Tries a parse of an unknown file in a child process, so that a library that a hostile file breaks cannot take this process
// along. Forks, so it is for the start of a program: before MPI is initialised and before other threads run.
#pragma once
#include <filesystem>
#include <functional>

namespace lacuna {

// Returns if `parse` returned in the child. Throws what `parse` threw there (an Error as it was), and Error(data) if the child
// crashed, hung, or took over a gigabyte more than the file's size.
void probe_in_child(const std::filesystem::path& file, const std::function<void()>& parse);

}  // namespace lacuna
