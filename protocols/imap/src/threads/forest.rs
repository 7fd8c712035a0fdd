//! Trees that grow and are cut, and that know the root of each node: link-cut trees (Sleator and Tarjan, 1983).
//!
//! Whoever links messages by what strangers write must ask before each link whether it would close a loop, and a chain of
//! a hundred thousand answers must not make that slow: each operation takes logarithmic time, amortised, and no stack.

/// Nodes by number, from 0.
#[derive(Debug, Default)]
pub(super) struct Forest {
    nodes: Vec<Node>,
}

/// Of a splay tree over one path, in which what is left is nearer to the root. `up` of its topmost node is the node from which
/// the path hangs.
#[derive(Debug, Clone, Copy)]
struct Node {
    up: u32,
    left: u32,
    right: u32,
}

/// No node.
const NONE: u32 = u32::MAX;

impl Forest {
    /// A new tree of one node.
    pub fn add(&mut self) -> u32 {
        self.nodes.push(Node { up: NONE, left: NONE, right: NONE });
        u32::try_from(self.nodes.len() - 1).unwrap_or(NONE)
    }

    /// The root of the tree with this node.
    pub fn root(&mut self, node: u32) -> u32 {
        self.access(node);
        let mut root = node;
        while self.at(root).left != NONE {
            root = self.at(root).left;
        }
        self.splay(root);
        root
    }

    /// Makes a root a child of a node of another tree.
    pub fn link(&mut self, root: u32, parent: u32) {
        self.access(root);
        self.access(parent);
        self.set(root, |node| node.up = parent);
    }

    /// Makes a node a root.
    pub fn cut(&mut self, node: u32) {
        self.access(node);
        let above = self.at(node).left;
        self.set(node, |node| node.left = NONE);
        self.set(above, |node| node.up = NONE);
    }

    /// Makes the way from the root to this node one path, with the node on top.
    fn access(&mut self, node: u32) {
        let (mut below, mut at) = (NONE, node);
        while at != NONE {
            self.splay(at);
            self.set(at, |node| node.right = below);
            (below, at) = (at, self.at(at).up);
        }
        self.splay(node);
    }

    fn splay(&mut self, node: u32) {
        while !self.is_top(node) {
            let parent = self.at(node).up;
            if !self.is_top(parent) {
                let grandparent = self.at(self.at(parent).up);
                let in_line = (grandparent.left == parent) == (self.at(parent).left == node);
                self.rotate(if in_line { parent } else { node });
            }
            self.rotate(node);
        }
    }

    /// Puts a node in the place of its parent.
    fn rotate(&mut self, node: u32) {
        let parent = self.at(node).up;
        let (top, above) = (self.is_top(parent), self.at(parent).up);
        if self.at(parent).left == node {
            let moved = self.at(node).right;
            self.set(parent, |parent| parent.left = moved);
            self.set(moved, |moved| moved.up = parent);
            self.set(node, |node| node.right = parent);
        } else {
            let moved = self.at(node).left;
            self.set(parent, |parent| parent.right = moved);
            self.set(moved, |moved| moved.up = parent);
            self.set(node, |node| node.left = parent);
        }
        self.set(parent, |parent| parent.up = node);
        self.set(node, |node| node.up = above);
        if !top {
            self.set(above, |above| if above.left == parent { above.left = node } else { above.right = node });
        }
    }

    /// Is it the topmost of its path's tree?
    fn is_top(&self, node: u32) -> bool {
        let up = self.at(self.at(node).up);
        up.left != node && up.right != node
    }

    fn at(&self, node: u32) -> Node {
        let nobody = Node { up: NONE, left: NONE, right: NONE };
        usize::try_from(node).ok().and_then(|node| self.nodes.get(node)).copied().unwrap_or(nobody)
    }

    fn set(&mut self, node: u32, change: impl FnOnce(&mut Node)) {
        if let Some(node) = usize::try_from(node).ok().and_then(|node| self.nodes.get_mut(node)) {
            change(node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_long_chain() {
        let mut forest = Forest::default();
        let nodes: Vec<u32> = (0..100_000).map(|_| forest.add()).collect();
        for pair in nodes.windows(2) {
            assert_eq!(forest.root(pair[0]), 0);
            forest.link(pair[1], pair[0]);
        }
        forest.cut(50_000);
        assert_eq!((forest.root(99_999), forest.root(49_999)), (50_000, 0));
    }

    proptest! {
        #[test]
        fn as_parents_tell(steps in prop::collection::vec((0_u32..12, 0_u32..12, 0_u8..4), 0..60)) {
            let (mut forest, mut parents) = (Forest::default(), [None; 12]);
            for number in 0..12 {
                prop_assert_eq!(forest.add(), number);
            }
            for (node, other, act) in steps {
                let root = |mut node: u32, parents: &[Option<u32>; 12]| {
                    while let Some(parent) = parents[node as usize] {
                        node = parent;
                    }
                    node
                };
                if act == 0 && parents[node as usize].is_some() {
                    forest.cut(node);
                    parents[node as usize] = None;
                } else if parents[node as usize].is_none() && root(other, &parents) != node {
                    forest.link(node, other);
                    parents[node as usize] = Some(other);
                }
                for node in 0..12 {
                    prop_assert_eq!(forest.root(node), root(node, &parents));
                }
            }
        }
    }
}
