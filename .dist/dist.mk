# The install side: install, uninstall, dist, test-dist. Included by the Makefile.

.PHONY: install uninstall documents dist dist-deps test-deps test-dist

# What `make dist` needs besides what building needs (it makes no package where dpkg-deb is missing).
DIST_PACKAGES := dpkg-dev binutils
# What tests of packages, manual page and completions need.
DIST_TEST_PACKAGES := debootstrap mandoc man-db groff-base zsh fish util-linux

BASH_COMPLETIONS ?= $(PREFIX)/share/bash-completion/completions
FISH_COMPLETIONS ?= $(PREFIX)/share/fish/vendor_completions.d
# Debian's own packages use vendor-completions instead; zsh looks into site-functions of /usr/local by itself.
ZSH_COMPLETIONS ?= $(PREFIX)/share/zsh/site-functions
MANUALS ?= $(PREFIX)/share/man/man1

DOCUMENTS := .build/documents
DIST := .build/dist
MAINTAINER ?= The caduceus developers <developers@caduceus.invalid>

# The time that packages and the manual page carry, so that the same tree gives the same files.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)
export SOURCE_DATE_EPOCH

# Where an argument that comes next has nothing to complete it with, zsh completes no options either.
ZSH_ACTIONS := s/^\( *'\*\{0,1\}:[^:']*:\)'$$/\1_default'/

# From the command definitions, by the program itself; quick, so always made anew.
documents: build
	@mkdir -p $(DOCUMENTS)
	$(BINARY) --generate-completion-script bash >$(DOCUMENTS)/caduceus.bash
	$(BINARY) --generate-completion-script zsh | sed "$(ZSH_ACTIONS)" >$(DOCUMENTS)/_caduceus
	$(BINARY) --generate-completion-script fish >$(DOCUMENTS)/caduceus.fish
	python3 .dist/manual.py $(BINARY) .dist/caduceus.1.in >$(DOCUMENTS)/caduceus.1

# Two sections hold hashes of the compiler's intermediate results, that differ each time with the same code.
STRIPPED := --remove-section=.swift_modhash --remove-section=.note.gnu.build-id

install: build documents
	@install -D -m 755 $(BINARY) "$(DESTDIR)$(PREFIX)/bin/caduceus"
	strip $(STRIPPED) "$(DESTDIR)$(PREFIX)/bin/caduceus"
	install -D -m 644 $(DOCUMENTS)/caduceus.1 "$(DESTDIR)$(MANUALS)/caduceus.1"
	install -D -m 644 $(DOCUMENTS)/caduceus.bash "$(DESTDIR)$(BASH_COMPLETIONS)/caduceus"
	install -D -m 644 $(DOCUMENTS)/_caduceus "$(DESTDIR)$(ZSH_COMPLETIONS)/_caduceus"
	install -D -m 644 $(DOCUMENTS)/caduceus.fish "$(DESTDIR)$(FISH_COMPLETIONS)/caduceus.fish"
	echo "Installed $(DESTDIR)$(PREFIX)/bin/caduceus, its manual page and completions for bash, zsh and fish"

uninstall:
	@rm -f "$(DESTDIR)$(PREFIX)/bin/caduceus" "$(DESTDIR)$(MANUALS)/caduceus.1" \
	  "$(DESTDIR)$(BASH_COMPLETIONS)/caduceus" "$(DESTDIR)$(ZSH_COMPLETIONS)/_caduceus" \
	  "$(DESTDIR)$(FISH_COMPLETIONS)/caduceus.fish"
	echo "Removed what make install puts below $(DESTDIR)$(PREFIX)"

dist-deps:
	@$(MAKE) --no-print-directory deps PACKAGES="$(DIST_PACKAGES)"

dist: build documents dist-deps
	@rm -rf $(DIST)
	mkdir -p $(DIST)
	$(MAKE) --no-print-directory install DESTDIR="$(abspath $(DIST))/tarball" PREFIX= >/dev/null
	$(MAKE) --no-print-directory install DESTDIR="$(abspath $(DIST))/package" PREFIX=/usr \
	  ZSH_COMPLETIONS=/usr/share/zsh/vendor-completions >/dev/null
	for tree in tarball package/usr; do
	  .dist/collect_licences.sh .build/static "$$(command -v $(SWIFT))" .build/checkouts \
	    $(DIST)/$$tree/share/doc/caduceus
	done
	.dist/make_tarball.sh $(DIST)/tarball $(DIST)
	.dist/make_package.sh $(DIST)/package $(DIST) "$(MAINTAINER)" .build/static
	rm -rf $(DIST)/tarball $(DIST)/package
	ls -l $(DIST)

test-deps:
	@$(MAKE) --no-print-directory deps PACKAGES="$(DIST_TEST_PACKAGES)"

test-dist: dist test-deps
	@python3 Tests/Distribution/run.py $(DIST) .build/roots
