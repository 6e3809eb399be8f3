// A page for people to look at what a network paints: recordings or pictures, what it was shown of them, and what it made of
// that.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace lacuna {

// Writes gallery.html into the run's folder, of rows of its validation corpora (of those it was trained on where it has none),
// masked as in evaluation, and returns its path. Throws usage errors for runs whose objective paints nothing.
std::filesystem::path write_gallery(const std::string& run, const std::vector<std::string>& sets);

}  // namespace lacuna
